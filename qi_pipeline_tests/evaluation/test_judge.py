"""The instrument: what it says of answers whose worth is plain to see."""

from qi_pipeline.evaluation.judge import Judge, Submission
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks
from qi_pipeline_tests.evaluation.samples import make_task

TASK = next(task for task in load_tasks(bundled_suite()) if task.id == "qicore-shelf-slot")
BODY = """export const shelfSlot = (slot: number): Result<number> =>
  Number.isInteger(slot) && slot >= 1 && slot <= 40
    ? success(slot)
    : failure(validationError("Slot must be a whole number from 1 to 40"));
"""


def test_an_answer_that_is_right_passes_in_all_three(judge: Judge) -> None:
    (one,) = judge.judge([Submission(TASK, TASK.reference)])
    assert (one.score.compiles, one.score.adheres, one.score.tests_passed) == (True, True, True)
    assert one.score.passes
    assert one.score.bleu > 99
    assert one.score.chrf > 99
    assert one.score.hallucinated == ()


def test_an_answer_off_by_one_compiles_and_adheres_and_fails_its_tests(judge: Judge) -> None:
    (one,) = judge.judge([Submission(TASK, TASK.reference.replace("<= 40", "< 40"))])
    assert (one.score.compiles, one.score.adheres, one.score.tests_passed) == (True, True, False)
    assert not one.score.passes
    assert one.test.status == "failed"
    assert one.test.failures


def test_an_answer_that_ends_the_process_does_not_pass(judge: Judge) -> None:
    (one,) = judge.judge([Submission(TASK, "process.exit(0);\n" + TASK.reference)])
    assert not one.score.tests_passed
    assert one.test.status == "no_verdict"


def test_made_up_names_are_reported(judge: Judge) -> None:
    code = (
        'import { ok, success } from "@qi/base";\nimport { pipe } from "fp-library";\n'
        "export const shelfSlot = (slot: number) => pipe(ok(slot), success(slot).unwrap());\n"
    )
    (one,) = judge.judge([Submission(TASK, code)])
    assert "@qi/base:ok" in one.score.hallucinated
    assert "fp-library" in one.score.hallucinated
    assert any(name.endswith(".unwrap") for name in one.score.hallucinated)


def test_equal_submissions_to_different_tasks_are_judged_apart(judge: Judge) -> None:
    other = TASK.model_copy(update={"id": "other", "entry_point": "anotherName"})
    first, second = judge.judge(
        [Submission(TASK, TASK.reference), Submission(other, TASK.reference)]
    )
    assert first.score.passes
    assert not second.score.exports_entry_point


def test_the_order_and_the_number_of_submissions_change_nothing(judge: Judge) -> None:
    wrong = TASK.reference.replace("<= 40", "< 40")
    submissions = [Submission(TASK, code) for code in (wrong, TASK.reference, wrong, "")]
    assert [one.score for one in judge.judge(submissions)] == [
        one.score for submission in submissions for one in judge.judge([submission])
    ]


def test_an_answer_without_any_import_gets_those_of_the_library_and_says_so(judge: Judge) -> None:
    found = judge.code_of(f"```ts\n{BODY}```")
    assert found.imports_added == ("Result", "failure", "success", "validationError")
    (one,) = judge.judge([Submission(TASK, found.code)])
    assert one.score.passes


def test_an_answer_with_some_imports_keeps_its_gaps(judge: Judge) -> None:
    text = f'import {{ success }} from "@qi/base";\n{BODY}'
    found = judge.code_of(f"```ts\n{text}```")
    assert found.imports_added == ()
    assert found.code == text


def test_what_an_answer_declares_itself_is_not_imported(judge: Judge) -> None:
    own = "const success = (value: number) => value;\nexport const twice = success(2);\n"
    found = judge.code_of(f"```ts\n{own}```")
    assert found.imports_added == ()
    assert found.code == own


def test_an_answer_that_does_not_parse_is_left_as_it_is(judge: Judge) -> None:
    found = judge.code_of("```ts\nexport const = success(1\n```")
    assert found.how == "none"
    assert found.imports_added == ()


def test_general_typescript_is_not_held_to_the_conventions(judge: Judge) -> None:
    code = (
        "export const half = (n: number): number => {\n"
        '  if (n % 2) throw new RangeError("odd");\n  return n / 2;\n};\n'
    )
    test = (
        'import { strict as assert } from "node:assert";\nimport { half } from "./solution";\n'
        "assert.equal(half(4), 2);\nassert.throws(() => half(3), RangeError);\n"
    )
    changes = {
        "entry_point": "half",
        "test": test,
        "reference": code,
        "required_api": {"all": (), "any": ()},
        "forbidden": (),
    }
    general = make_task("half", changes=changes, pattern_type=None)
    library = make_task("half", changes=changes)
    judged = judge.judge([Submission(general, code), Submission(library, code)])
    assert [one.score.rules for one in judged] == [(), ("R7",)]
    assert judged[0].score.passes
