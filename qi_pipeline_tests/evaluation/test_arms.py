"""Arms: the small real model in every way of being asked, scored by the real instrument."""

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import ArmPlan, Setup, assemble_arm, overlapped, run_arm, totals
from qi_pipeline.evaluation.generation import LocalModel
from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.evaluation.records import ArmResult, GenerationOptions, Verification
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks, tasks_hash
from qi_pipeline.retrieval.context import Context
from qi_pipeline_tests.evaluation.samples import (
    GOOD,
    NOT_ADHERING,
    NOT_COMPILING,
    USELESS,
    make_arm,
    make_result,
    make_task,
)

TASKS = load_tasks(bundled_suite())[:5]
SHOWN = Context(
    ("pattern-a", "pattern-b"), "Examples of how this code base uses the library: none."
)


def setup_of(judge: Judge, cache_dir: Path) -> Setup:
    return Setup(
        judge=judge,
        library_hash="library",
        system_prompt="Write TypeScript.",
        options=GenerationOptions(max_tokens=24, n_ctx=1024, slots=4),
        cache_dir=cache_dir,
        retrieve=lambda _question: SHOWN,
    )


@pytest.mark.slow
def test_one_model_in_three_ways(judge: Judge, small_model: Path, tmp_path: Path) -> None:
    setup, model = setup_of(judge, tmp_path), LocalModel(small_model)
    plans = (
        ArmPlan("plain", model),
        ArmPlan("shown", model, retrieval=True),
        ArmPlan("verified", model, True, Verification(best_of=2, repairs=1)),  # noqa: FBT003
    )
    plain, shown, verified = (run_arm(plan, TASKS, setup) for plan in plans)
    for arm in (plain, shown, verified):
        assert [result.task_id for result in arm.results] == [task.id for task in TASKS]
        assert arm.tasks_hash == tasks_hash(TASKS)
        assert arm.overall.n == len(TASKS)
        assert arm.tokens_per_second.value > 0
    assert {result.retrieved for result in plain.results} == {()}
    assert {result.retrieved for result in shown.results} == {SHOWN.pattern_ids}
    assert (plain.retrieved, shown.retrieved) == (0, 2)
    for one, other in zip(plain.results, shown.results, strict=True):
        assert one.answer.prompt_tokens < other.answer.prompt_tokens
    for result, alone in zip(verified.results, shown.results, strict=True):
        first, drawn, *repaired = result.attempts
        assert (first.turn, first.sample, drawn.sample) == (0, 0, 1)
        assert first.code == alone.code
        assert len(repaired) == (0 if first.complies or drawn.complies else 1)
        assert result.answer.tokens == sum(attempt.tokens for attempt in result.attempts)
        assert result.code in {attempt.code for attempt in result.attempts}


@pytest.mark.slow
def test_an_unchanged_arm_is_not_generated_again_and_is_identical(
    judge: Judge, small_model: Path, tmp_path: Path
) -> None:
    setup, plan = setup_of(judge, tmp_path), ArmPlan("plain", LocalModel(small_model))
    shown: list[str] = []
    first = run_arm(plan, TASKS, setup)
    again = run_arm(plan, TASKS, replace(setup, show=shown.append))
    assert shown == []
    assert again.overall == first.overall
    assert [result.answer for result in again.results] == [r.answer for r in first.results]


@pytest.mark.slow
def test_several_samples_give_pass_at_k_and_the_first_counts(
    judge: Judge, small_model: Path, tmp_path: Path
) -> None:
    setup = setup_of(judge, tmp_path)
    drawn = replace(setup, options=setup.options.model_copy(update={"temperature": 0.9}), samples=2)
    arm = run_arm(ArmPlan("drawn", LocalModel(small_model)), TASKS, drawn)
    assert [(r.task_id, r.sample) for r in arm.results] == [
        (task.id, sample) for task in TASKS for sample in (0, 1)
    ]
    assert set(arm.pass_at) == {1, 2}
    assert arm.overall.n == len(TASKS)


def test_several_samples_of_greedy_decoding_are_refused(
    judge: Judge, small_model: Path, tmp_path: Path
) -> None:
    setup = replace(setup_of(judge, tmp_path), samples=2)
    with pytest.raises(QiPipelineError, match="one and the same answer"):
        run_arm(ArmPlan("greedy", LocalModel(small_model)), TASKS, setup)


def test_retrieval_without_an_index_is_refused(
    judge: Judge, small_model: Path, tmp_path: Path
) -> None:
    setup = replace(setup_of(judge, tmp_path), retrieve=None)
    with pytest.raises(QiPipelineError, match="there is no index"):
        run_arm(ArmPlan("shown", LocalModel(small_model), retrieval=True), TASKS, setup)


# ── scoring while generating ─────────────────────────────────────────────────────────────────────


def test_every_item_is_made_once_and_in_order() -> None:
    assert list(overlapped(iter(range(100)), lambda items: [10 * item for item in items])) == [
        10 * item for item in range(100)
    ]
    assert list(overlapped(iter(()), lambda items: items)) == []


def test_items_are_made_while_the_next_ones_are_awaited() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert made.wait(timeout=30), "the first item was not made before the second was asked for"
        yield 2

    def make(portion: Sequence[int]) -> Sequence[int]:
        made.set()
        return portion

    assert list(overlapped(items(), make)) == [1, 2]


def test_an_error_in_making_reaches_the_caller() -> None:
    def make(_items: Sequence[int]) -> Sequence[int]:
        raise QiPipelineError("no sandbox")

    with pytest.raises(QiPipelineError, match="no sandbox"):
        list(overlapped(iter([1, 2]), make))


# ── totals ───────────────────────────────────────────────────────────────────────────────────────


ANSWERS = {"a": GOOD, "b": NOT_COMPILING, "c": NOT_ADHERING, "d": USELESS, "e": GOOD}


def test_totals_count_what_compiles_adheres_and_both() -> None:
    arm = make_arm("arm", ANSWERS)
    overall = arm.overall
    assert (overall.compiles.count, overall.adheres.count) == (3, 3)
    assert overall.n == 5
    assert arm.per_category["basic"].n == 5
    assert arm.per_pattern_type["result_creation"].n == 5
    assert overall.passes.count <= min(overall.compiles.count, overall.adheres.count)


def test_totals_of_nothing_have_no_rates() -> None:
    nothing = totals([])
    assert nothing.n == 0
    assert math.isnan(nothing.passes.rate)
    assert math.isnan(nothing.bleu)
    assert math.isnan(nothing.chrf)


def test_an_arm_survives_being_written_down() -> None:
    arm = make_arm("arm", ANSWERS)
    assert ArmResult.model_validate_json(arm.model_dump_json()).overall == arm.overall


def test_speed_is_tokens_by_wall_time() -> None:
    results = tuple(
        make_result(make_task(name), GOOD, tokens=tokens, seconds=seconds)
        for name, tokens, seconds in (("a", 30, 1.0), ("b", 10, 3.0), *(("c", 0, 0.0),) * 3)
    )
    arm = assemble_arm(
        name="arm",
        model="m.gguf",
        model_hash="m",
        engine="llama.cpp",
        tasks_hash="t",
        library_hash="l",
        system_prompt="",
        options=GenerationOptions(),
        retrieved=0,
        verification=None,
        results=results,
    )
    assert arm.tokens_per_second.value == pytest.approx(10.0)
    assert (arm.tokens, arm.generation_seconds) == (40, 4.0)
