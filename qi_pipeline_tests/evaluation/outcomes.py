"""Arms written down by hand: what each answer achieves is given, nothing is generated or judged.

An outcome is spelled by its letters: `c` compiles, `a` adheres, `t` passes its tests; `cat` passes,
`` achieves nothing.
"""

from collections.abc import Sequence

from qi_pipeline.evaluation.records import (
    Answer,
    ArmResult,
    GenerationOptions,
    TaskResult,
    TaskScore,
    TestResult,
    Totals,
)
from qi_pipeline.evaluation.statistics import Interval, proportion
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES
from qi_pipeline.validation.verdict import Verdict

# Matched 1- to 4-grams, their totals, answer length, reference length: BLEU 41 and 16.
ALIKE = (30, 20, 15, 10, 40, 39, 38, 37, 40, 40)
UNLIKE = (20, 9, 5, 3, 40, 39, 38, 37, 40, 40)


def score(outcome: str, bleu_statistics: tuple[int, ...] = ALIKE, chrf: float = 50.0) -> TaskScore:
    compiles, adheres, tested = (letter in outcome for letter in "cat")
    return TaskScore(
        parses=True,
        exports_entry_point=True,
        compiles=compiles,
        adheres=adheres,
        tests_passed=tested,
        judged=True,
        rules=(),
        forbidden=(),
        missing_api=(),
        hallucinated=(),
        lines=10,
        bleu=0.0,
        bleu_statistics=bleu_statistics,
        chrf=chrf,
    )


def result(number: int, scored: TaskScore, *, general: bool = False, sample: int = 0) -> TaskResult:
    """Return the answer to task `number`: categories and pattern types take turns."""
    return TaskResult(
        task_id=f"task-{number:03}",
        sample=sample,
        category=CATEGORIES[number // len(PATTERN_TYPES) % len(CATEGORIES)],
        pattern_type=None if general else PATTERN_TYPES[number % len(PATTERN_TYPES)],
        prompt="Write it.",
        retrieved=(),
        answer=Answer(
            task_id=f"task-{number:03}",
            sample=sample,
            answer="",
            tokens=50,
            prompt_tokens=90,
            seconds=2.0,
            latency_seconds=2.0,
            first_token_seconds=0.5,
            finish_reason="stop",
            slots=1,
        ),
        code="",
        how="none",
        imports_added=(),
        verdict=Verdict(compiles=scored.compiles, diagnostics=(), rules=(), symbols=()),
        test=TestResult(
            status="passed" if scored.tests_passed else "failed",
            assertions=1,
            failures=(),
            seconds=0.1,
        ),
        score=scored,
    )


def arm(
    name: str,
    outcomes: Sequence[str],
    *,
    bleu_statistics: tuple[int, ...] = ALIKE,
    chrf: float = 50.0,
    general: bool = False,
) -> ArmResult:
    return arm_of(
        name,
        tuple(
            result(number, score(outcome, bleu_statistics, chrf), general=general)
            for number, outcome in enumerate(outcomes)
        ),
    )


def arm_of(name: str, results: tuple[TaskResult, ...]) -> ArmResult:
    nothing = Interval(value=0, low=0, high=0)
    return ArmResult(
        name=name,
        model=f"{name}.gguf",
        model_hash=name,
        engine="llama.cpp",
        tasks_hash="tasks",
        library_hash="library",
        system_prompt="Write TypeScript.",
        options=GenerationOptions(),
        retrieved=0,
        verification=None,
        results=results,
        overall=totals([one.score for one in results if one.sample == 0]),
        per_category={},
        per_pattern_type={},
        bleu=nothing,
        chrf=nothing,
        pass_at={1: nothing},
        tokens=0,
        generation_seconds=0,
        tokens_per_second=nothing,
        first_token_seconds=nothing,
    )


def totals(scores: Sequence[TaskScore]) -> Totals:
    n = len(scores)
    return Totals(
        n=n,
        compiles=proportion(sum(one.compiles for one in scores), n),
        adheres=proportion(sum(one.adheres for one in scores), n),
        tests=proportion(sum(one.tests_passed for one in scores), n),
        passes=proportion(sum(one.passes for one in scores), n),
        bleu=0.0,
        chrf=0.0,
    )
