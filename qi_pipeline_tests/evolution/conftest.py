from dataclasses import dataclass
from pathlib import Path

import pytest

from qi_pipeline.evolution.evolve import evolve
from qi_pipeline.evolution.lineage import Step, trace
from qi_pipeline.evolution.records import Evolution
from qi_pipeline.sample import build_sample_repository, commit_ids
from qi_pipeline_tests.evolution.planted import PROFILE, TOOLCHAIN, Planted


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted.create(tmp_path)


@dataclass(frozen=True)
class Sample:
    """The evolution of the bundled sample library."""

    evolution: Evolution
    steps: dict[str, Step]
    """By slug of the commit."""


@pytest.fixture(scope="package")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    head = build_sample_repository(folder / "library")
    evolution = evolve(folder / "library", head, PROFILE, TOOLCHAIN, folder / "cache")
    by_commit = {step.state.commit: step for step in trace(evolution.states)}
    slugs = commit_ids(folder / "library")
    return Sample(evolution, {slug: by_commit[commit] for slug, commit in slugs.items()})
