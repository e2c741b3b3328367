"""The bundled suite against the real checker and the bundled sample library."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_pipeline.evaluation.references import check_references
from qi_pipeline.evaluation.scoring import score_answer
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.settings import PROJECT_ROOT
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.workspace import prepare_library

TASKS = load_tasks(bundled_suite())


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    folder: Path = tmp_path_factory.mktemp("library")
    build_sample_repository(folder / "repository")
    profile = load_profile()
    snapshot = take_snapshot(
        str(folder / "repository"), "HEAD", profile, folder / "snapshots", folder / "mirrors"
    )
    library = prepare_library(snapshot, profile, folder / "cache")
    with Checker(library, profile, PROJECT_ROOT / "toolchain") as checker:
        yield checker


def test_every_reference_compiles_and_adheres(checker: Checker) -> None:
    assert len(check_references(TASKS, checker.check_modules)) == len(TASKS)


def test_a_reference_made_worse_does_not_pass(checker: Checker) -> None:
    task = next(task for task in TASKS if "success(" in task.reference)
    worse = {
        "any": task.reference + "export const loose = (value: any): void => void value;\n",
        "name": task.reference.replace("success(", "ok("),
        "silenced": "// @ts-nocheck\n" + task.reference,
        "empty": "",
    }
    verdicts = checker.check_modules(worse)
    scores = {name: score_answer(task, text, verdicts[name]) for name, text in worse.items()}
    assert not any(score.both for score in scores.values())
    assert scores["any"].compiles
    assert scores["any"].forbidden == ("no_any",)
    assert not scores["name"].compiles
    assert not scores["silenced"].judged
    assert verdicts["empty"].compiles
    assert not scores["empty"].compiles
