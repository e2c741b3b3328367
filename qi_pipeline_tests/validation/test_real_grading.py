"""Grades of the real library's patterns, where a clone of it is at hand."""

from collections import Counter
from pathlib import Path

import pytest

from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.library.profile import load_profile
from qi_pipeline.recognition.duplicates import cluster_near_duplicates
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.patterns import grade_patterns
from qi_pipeline.validation.verdict import ValidatedPattern
from qi_pipeline.validation.workspace import prepare_library
from qi_pipeline_tests.validation.conftest import TOOLCHAIN

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def rows(real_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[ValidatedPattern]:
    folder: Path = tmp_path_factory.mktemp("graded")
    profile = load_profile()
    snapshot = take_snapshot(
        str(real_repository), "HEAD", profile, folder / "snapshots", folder / "mirrors"
    )
    patterns = extract_patterns(snapshot, profile).patterns
    clusters = cluster_near_duplicates({row.id: row.implementation for row in patterns})
    library = prepare_library(snapshot, profile, folder / "cache")
    with Checker(library, profile, TOOLCHAIN) as checker:
        return grade_patterns(patterns, (), checker, clusters, {}, ())


def test_what_is_learned_from_complies(rows: list[ValidatedPattern]) -> None:
    usable = [row for row in rows if row.usable]
    assert len(usable) > len(rows) / 2
    assert all(row.verdict.complies for row in usable)
    assert sum(row.status == "repaired" for row in usable) >= 10
    assert all((row.original is not None) == (row.status == "repaired") for row in usable)


def test_about_half_of_the_tutorials_blocks_are_stale(rows: list[ValidatedPattern]) -> None:
    tutorial = [row for row in rows if row.pattern.source_kind == "tutorial"]
    assert 0.4 < sum(row.stale for row in tutorial) / len(tutorial) < 0.75
    stale = Counter(row.pattern.source_kind for row in rows if row.stale)
    assert stale.keys() <= {"tutorial", "api_doc", "notebook"}
    reasons = {reason for row in tutorial for reason in row.reasons if reason.startswith("stale")}
    promise = "Promise<Result<ConfigBuilder, ConfigError>>"
    assert {
        f"stale: merge is no longer a member of {promise}",
        "stale: logger.info is no longer called with as many arguments",
        "stale: createCache is no longer called with type arguments",
        "stale: subset is no longer a member of ConfigBuilder",
    } <= reasons


def test_the_queue_is_short_enough_to_be_read(rows: list[ValidatedPattern]) -> None:
    assert 0 < sum(row.status == "review" for row in rows) <= len(rows) * 0.05
