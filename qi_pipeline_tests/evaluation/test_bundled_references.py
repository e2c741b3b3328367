"""The bundled suites against the real instrument and the bundled sample library."""

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.judge import Judge, Submission
from qi_pipeline.evaluation.references import check_references
from qi_pipeline.evaluation.tasks import bundled_suite, general_suite, load_tasks

TASKS = load_tasks(bundled_suite())
GENERAL = load_tasks(general_suite())


def test_every_reference_compiles_adheres_and_passes_its_tests(judge: Judge) -> None:
    assert len(check_references(TASKS, judge)) == len(TASKS)


def test_every_general_reference_compiles_and_passes_its_tests(judge: Judge) -> None:
    assert len(check_references(GENERAL, judge)) == len(GENERAL)


def test_a_reference_made_worse_does_not_pass(judge: Judge) -> None:
    task = next(task for task in TASKS if "success(" in task.reference)
    worse = {
        "any": task.reference + "export const loose = (value: any): void => void value;\n",
        "name": task.reference.replace("success(", "ok("),
        "silenced": "// @ts-nocheck\n" + task.reference,
        "empty": "",
    }
    judged = judge.judge([Submission(task, text) for text in worse.values()])
    found = dict(zip(worse, judged, strict=True))
    assert not any(one.score.passes for one in judged)
    assert found["any"].score.compiles
    assert found["any"].score.tests_passed
    assert found["any"].score.forbidden == ("no_any",)
    assert not found["name"].score.compiles
    assert not found["silenced"].score.judged
    assert found["empty"].verdict.compiles
    assert not found["empty"].score.compiles


def test_a_reference_that_fails_stops_everything_and_is_named(judge: Judge) -> None:
    good, bad = TASKS[0], TASKS[1]
    broken = bad.model_copy(update={"reference": bad.reference.replace("No labels left", "None")})
    with pytest.raises(QiPipelineError, match=rf"1 of 2 references.*{bad.id} \(tests failed") as e:
        check_references([good, broken], judge)
    assert good.id not in str(e.value)
