"""The instrument is tested with answers whose worth is known; a broken instrument is noticed."""

from dataclasses import replace
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.evaluation.selftest import MUTANTS, SelfTest, run_self_test
from qi_pipeline.evaluation.tasks import Task, bundled_suite, load_tasks
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sandbox.bundle import Toolchain
from qi_pipeline.sandbox.mutants import Mutant, make_mutants
from qi_pipeline.sandbox.sandbox import Sandbox
from qi_pipeline_tests.evaluation.conftest import TOOLCHAIN

TASKS = load_tasks(bundled_suite())
FEW = TASKS[:6]


def mutants_of(tasks: tuple[Task, ...]) -> dict[str, tuple[Mutant, ...]]:
    texts = {task.id: task.reference for task in tasks}
    return make_mutants(texts, Toolchain(TOOLCHAIN), Sandbox(), load_profile())


def test_the_bundled_suite_tells_right_from_wrong(judge: Judge) -> None:
    found = run_self_test(TASKS, mutants_of(TASKS), judge)
    assert found.holds, found.describe()
    assert found.references == len(TASKS)
    assert found.mutants == MUTANTS
    assert found.mutants_failed >= 0.95 * MUTANTS
    scores = {model.name: model for model in found.bad_models}
    assert set(scores) == {"echo", "empty", "always success", "wrong API"}
    assert all(model.passes == 0 for model in scores.values())
    assert scores["always success"].compiles == len(TASKS)
    assert scores["wrong API"].hallucinating == len(TASKS)


def test_the_same_mutants_are_drawn_every_time(judge: Judge) -> None:
    mutants = mutants_of(FEW)
    assert run_self_test(FEW, mutants, judge) == run_self_test(FEW, mutants, judge)


def test_tests_that_notice_nothing_fail_the_self_test(judge: Judge) -> None:
    blind = tuple(
        task.model_copy(
            update={
                "test": 'import { strict as assert } from "node:assert";\n'
                f'import {{ {task.entry_point} }} from "./solution";\n'
                f"assert.equal(typeof {task.entry_point}, 'function');\n"
            }
        )
        for task in FEW
    )
    found = run_self_test(blind, mutants_of(blind), judge)
    assert not found.holds
    assert found.survivors
    wrong = {model.name for model in found.bad_models if not model.as_deserved}
    assert wrong == {"always success"}
    assert "always success" in found.describe()


def test_a_reference_that_fails_is_an_error(judge: Judge) -> None:
    broken = (*FEW[1:], FEW[0].model_copy(update={"reference": "export {};"}))
    with pytest.raises(QiPipelineError, match=FEW[0].id):
        run_self_test(broken, {}, judge)


def test_without_mutants_nothing_is_shown(judge: Judge) -> None:
    assert not run_self_test(FEW, {}, judge).holds


def test_it_survives_being_written_down(judge: Judge) -> None:
    found = run_self_test(FEW[:1], {}, judge)
    assert SelfTest.model_validate_json(found.model_dump_json()) == found
    assert Path(judge.tester.library).is_file()
    assert replace(judge, workers=1).judge([]) == []
