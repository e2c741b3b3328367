from collections.abc import Mapping
from pathlib import Path

import pytest

from qi_pipeline.evaluation.arms import ArmResult, run_arm, totals
from qi_pipeline.evaluation.generation import GenerationOptions
from qi_pipeline.evaluation.scoring import corpus_bleu
from qi_pipeline.validation.verdict import Verdict
from qi_pipeline_tests.evaluation import samples
from qi_pipeline_tests.evaluation.samples import (
    GOOD,
    NOT_ADHERING,
    NOT_COMPILING,
    USELESS,
    make_arm,
    make_task,
)


@pytest.mark.slow
def test_a_real_model_is_asked_checked_and_scored_and_its_answers_are_reused(
    tmp_path: Path, small_model: Path
) -> None:
    tasks = (make_task("a"), make_task("b", category="expert"))
    seen: list[Mapping[str, str]] = []

    def check(modules: Mapping[str, str]) -> dict[str, Verdict]:
        seen.append(modules)
        return samples.check(modules)

    def measure(library_hash: str) -> ArmResult:
        options = GenerationOptions(max_tokens=24, n_ctx=512, threads=1)
        return run_arm(
            "base", small_model, tasks, check, tmp_path, "Write code.", options, library_hash
        )

    arm = measure("one")
    assert [result.task_id for result in arm.results] == ["a", "b"]
    assert arm.overall.n == 2
    assert set(arm.per_category) == {"basic", "expert"}
    assert arm.model_file == small_model.name
    assert arm.tokens_per_second.value == pytest.approx(arm.tokens / arm.generation_seconds)
    again = measure("two")
    assert [result.answer for result in again.results] == [result.answer for result in arm.results]
    assert again.library_hash == "two"
    assert len(seen) == 2, "verdicts are made anew, only answers are cached"
    assert ArmResult.model_validate_json(arm.model_dump_json()) == arm


def test_totals_count_each_outcome() -> None:
    arm = make_arm("arm", {"a": GOOD, "b": NOT_COMPILING, "c": NOT_ADHERING, "d": USELESS})
    overall = arm.overall
    assert (overall.both.count, overall.compiles.count, overall.adheres.count) == (1, 2, 2)
    assert overall.both.rate == 0.25
    assert overall.bleu == arm.bleu.value == corpus_bleu(r.score for r in arm.results)
    assert arm.bleu.low < arm.bleu.value < arm.bleu.high
    assert arm.tokens_per_second.value == 25


def test_groups_partition_the_tasks() -> None:
    tasks = (
        make_task("a"),
        make_task("b", category="expert", pattern_type="cache_patterns"),
        make_task("c", category="expert"),
    )
    arm = make_arm("arm", {"a": GOOD, "b": USELESS, "c": GOOD}, tasks)
    assert {name: (t.both.count, t.n) for name, t in arm.per_category.items()} == {
        "basic": (1, 1),
        "expert": (1, 2),
    }
    assert {name: t.n for name, t in arm.per_pattern_type.items()} == {
        "result_creation": 2,
        "cache_patterns": 1,
    }
    assert totals([]).n == 0
