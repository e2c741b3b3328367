"""Tests that notice everything, something and nothing, on the real compiler and sandbox."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.evaluation.suite_check import (
    SuiteCheck,
    Survivor,
    TaskCheck,
    check_suite,
    render_suite_check,
)
from qi_pipeline.evaluation.tasks import RequiredApi, Task
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.sandbox.modules import prepare_tester
from qi_pipeline.settings import PROJECT_ROOT
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.workspace import prepare_library

TOOLCHAIN = PROJECT_ROOT / "toolchain"
IMPORTS = """import { strict as assert } from "node:assert";
import { failure, success, validationError } from "@qi/base";
import { shelfSlot } from "./solution";
"""
STRONG = f"""{IMPORTS}
for (const slot of [1, 2]) assert.deepEqual(shelfSlot(slot), success(slot));
for (const slot of [0, -1]) {{
  assert.deepEqual(shelfSlot(slot), failure(validationError("Slot must be positive")));
}}
"""
WEAK = f"""{IMPORTS}
assert.deepEqual(shelfSlot(2), success(2));
"""
BLIND = f"""{IMPORTS}
assert.equal(typeof shelfSlot, "function");
"""
WRONG = f"""{IMPORTS}
assert.deepEqual(shelfSlot(2), success(3));
"""
GOOD = """import { failure, success, validationError } from "@qi/base";
import type { Result } from "@qi/base";

export const shelfSlot = (slot: number): Result<number> =>
  slot > 0 ? success(slot) : failure(validationError("Slot must be positive"));
"""
LOOSE = GOOD.replace("success(slot)", "success(slot as any)")
UNTOUCHED = """import { success } from "@qi/base";
import type { Result } from "@qi/base";
export const shelfSlot: (slot: number) => Result<number> = (slot) => success(slot);
"""
ENDLESS = """import { success } from "@qi/base";
import type { Result } from "@qi/base";
export const shelfSlot = (slot: number): Result<number> => {
  for (let left = slot; left > 0; left -= 1) void left;
  return success(slot);
};
"""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    folder: Path = tmp_path_factory.mktemp("library")
    build_sample_repository(folder / "repository")
    profile = load_profile()
    snapshot = take_snapshot(
        str(folder / "repository"), "HEAD", profile, folder / "snapshots", folder / "mirrors"
    )
    library = prepare_library(snapshot, profile, folder / "cache")
    tester = prepare_tester(library, TOOLCHAIN, folder / "cache")
    with Checker(library, profile, TOOLCHAIN) as checker:
        yield Judge(checker, tester, workers=2)


def slot_task(task_id: str, test: str, reference: str = GOOD) -> Task:
    return Task(
        id=task_id,
        category="basic",
        pattern_type="result_creation",
        prompt="Export shelfSlot.",
        entry_point="shelfSlot",
        test=test,
        required_api=RequiredApi(all=("success",)),
        forbidden=("no_any",),
        reference=reference,
    )


def one(check: SuiteCheck, task_id: str) -> TaskCheck:
    return next(task for task in check.tasks if task.id == task_id)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def check(judge: Judge, lines: list[str]) -> SuiteCheck:
    tasks = [
        slot_task("strong", STRONG),
        slot_task("weak", WEAK),
        slot_task("blind", BLIND),
        slot_task("wrong", WRONG),
        slot_task("loose", STRONG, LOOSE),
        slot_task("untouched", WEAK, UNTOUCHED),
    ]
    return check_suite(tasks, judge, lines.append)


def test_tests_that_notice_everything_score_1(check: SuiteCheck) -> None:
    strong = one(check, "strong")
    assert (strong.problem, strong.survived, strong.score) == ("", (), 1.0)
    assert strong.killed == strong.made - strong.not_compiling > 4


def test_tests_that_are_too_weak_show_what_they_let_pass(check: SuiteCheck) -> None:
    weak, strong = one(check, "weak"), one(check, "strong")
    assert weak.survived == (
        Survivor(operator="ConditionalExpression", line=5, original="slot > 0", replacement="true"),
        Survivor(operator="EqualityOperator", line=5, original="slot > 0", replacement="slot >= 0"),
        Survivor(
            operator="LibraryFunction",
            line=5,
            original="validationError",
            replacement="businessError",
        ),
        Survivor(
            operator="StringLiteral", line=5, original='"Slot must be positive"', replacement='""'
        ),
    )
    assert weak.killed == strong.killed - 4
    assert weak.score == weak.killed / strong.killed


def test_tests_that_cannot_fail_score_0(check: SuiteCheck) -> None:
    blind, strong = one(check, "blind"), one(check, "strong")
    assert (blind.problem, blind.killed, blind.score) == ("", 0, 0.0)
    assert len(blind.survived) == strong.killed


def test_a_reference_that_fails_its_tests_judges_them_in_no_way(check: SuiteCheck) -> None:
    wrong, strong = one(check, "wrong"), one(check, "strong")
    assert "tests failed" in wrong.problem
    assert (wrong.made, wrong.not_compiling) == (strong.made, strong.not_compiling)
    assert (wrong.killed, wrong.survived) == (0, ())
    assert math.isnan(wrong.score)


def test_a_reference_that_breaks_a_rule_does_not_pass_but_its_tests_are_judged(
    check: SuiteCheck,
) -> None:
    loose = one(check, "loose")
    assert "no_any" in loose.problem
    assert (loose.killed > 4, loose.survived, loose.score) == (True, (), 1.0)


def test_without_a_mutant_that_compiles_nothing_is_known(check: SuiteCheck) -> None:
    untouched = one(check, "untouched")
    assert untouched.problem == ""
    assert untouched.made == untouched.not_compiling > 0
    assert math.isnan(untouched.score)


def test_totals_add_up(check: SuiteCheck) -> None:
    assert [task.id for task in check.tasks] == [
        "strong", "weak", "blind", "wrong", "loose", "untouched",
    ]  # fmt: skip
    assert check.references_passing == 4
    assert check.made == sum(task.made for task in check.tasks)
    assert check.not_compiling == sum(task.not_compiling for task in check.tasks)
    assert check.killed == sum(task.killed for task in check.tasks)
    assert check.survived == sum(len(task.survived) for task in check.tasks)
    assert check.score == check.killed / (check.killed + check.survived)
    assert 0.5 < check.score < 1


def test_the_check_survives_json(check: SuiteCheck) -> None:
    text = check.model_dump_json()
    assert SuiteCheck.model_validate_json(text).model_dump_json() == text
    assert '"score":null' in text


def test_the_progress_is_reported_for_every_task(check: SuiteCheck, lines: list[str]) -> None:
    sound = check.made - check.not_compiling
    assert lines[0] == f"{check.made} mutants of 6 references, {sound} of them compile"
    assert [line.split(":")[0] for line in lines[1:]] == [
        f"{number}/6 {task.id}" for number, task in enumerate(check.tasks, start=1)
    ]


def test_the_text_shows_survivors_problems_and_the_score(check: SuiteCheck) -> None:
    text = render_suite_check(check).splitlines()
    weak = one(check, "weak")
    assert f"weak: {weak.killed}/{weak.killed + 4} killed, {100 * weak.score:.1f}%" in text
    assert "  survives: line 5, EqualityOperator: slot > 0  ->  slot >= 0" in text
    assert any(line.startswith("  the reference does not pass: tests failed") for line in text)
    assert "wrong: no mutant was tested, so nothing is known of its tests" in text
    assert "untouched: no mutant compiles, so nothing is known of its tests" in text
    assert text[-4:] == [
        "references: 4 of 6 pass",
        f"mutants: {check.made} made, {check.not_compiling} do not compile",
        f"tested: {check.killed} killed, {check.survived} survive",
        f"mutation score: {100 * check.score:.1f}%",
    ]


def test_long_code_is_shortened_to_one_line_and_nothing_known_is_said() -> None:
    long = Survivor(operator="BlockStatement", line=1, original="{\n" + "a;\n" * 99, replacement="")
    task = TaskCheck(
        id="long", problem="", made=1, not_compiling=0, killed=0, timed_out=0, survived=(long,),
        score=0.0,
    )  # fmt: skip
    whole = SuiteCheck(
        tasks=(task,), references_passing=1, made=1, not_compiling=0, killed=0, timed_out=0,
        survived=1, score=math.nan,
    )  # fmt: skip
    text = render_suite_check(whole)
    assert max(map(len, text.splitlines())) < 130
    assert " …  ->  " in text
    assert text.endswith("mutation score: unknown\n")


def test_a_mutant_that_never_ends_is_killed_by_time(judge: Judge) -> None:
    check = check_suite([slot_task("endless", WEAK, ENDLESS)], judge)
    task = one(check, "endless")
    assert task.problem == ""
    assert 0 < task.timed_out <= task.killed
    assert f"({task.timed_out} by running out of time)" in render_suite_check(check)


def test_a_reference_that_does_not_parse_is_named(judge: Judge) -> None:
    with pytest.raises(QiPipelineError, match=r"^torn cannot be mutated"):
        check_suite([slot_task("torn", WEAK, "export const = ;")], judge)
