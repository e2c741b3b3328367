"""Two arms side by side on the same tasks.

Flows in: two `ArmResult`s. Flows out: a `Comparison`: per headline figure who won how many tasks,
the difference of the rates and how surprising it is; the differences of BLEU and chrF. Deciding
anything by it belongs to `gate`, showing it to `report`.

Of several samples of a task the first counts, as in the headline. Tasks are clustered by pattern
type (`TaskResult.cluster`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.records import ArmResult, TaskResult, TaskScore
from qi_pipeline.evaluation.scoring import bleu_of_statistics
from qi_pipeline.evaluation.statistics import (
    Figure,
    Interval,
    PairedCounts,
    bootstrap,
    cluster_sign_flip,
    compare_pairs,
    paired_difference,
)
from qi_pipeline.extraction.pattern import CATEGORIES, Category

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAMED = 5
"""Task ids that an error names."""


class RateComparison(BaseModel):
    """How often two arms do one thing."""

    model_config = ConfigDict(frozen=True)

    pairs: PairedCounts
    """Candidate against incumbent, task by task."""
    difference: Interval
    """Candidate's rate minus the incumbent's, -1 to 1, with its clustered bootstrap interval."""
    clustered_p: Figure
    """Two-sided p-value of the exact sign-flip test over clusters."""


class Comparison(BaseModel):
    """A candidate arm against an incumbent one, on the same tasks."""

    model_config = ConfigDict(frozen=True)

    candidate: str
    incumbent: str
    n: int
    """Tasks."""
    passes: RateComparison
    compiles: RateComparison
    adheres: RateComparison
    tests: RateComparison
    bleu: Interval
    """Difference in corpus BLEU, in points, with its paired clustered bootstrap interval."""
    chrf: Interval
    """Difference in mean chrF, likewise."""
    per_category: dict[Category, PairedCounts]
    """Of `passes`; categories without tasks are left out."""


Pair = tuple[TaskResult, TaskResult]
"""The candidate's and the incumbent's first answer to one task."""


def compare_arms(candidate: ArmResult, incumbent: ArmResult) -> Comparison:
    """Compare two arms task by task.

    Raises QiPipelineError when they did not answer the same tasks.
    """
    pairs = paired_results(candidate, incumbent)
    return Comparison(
        candidate=candidate.name,
        incumbent=incumbent.name,
        n=len(pairs),
        passes=_compare_rates(pairs, lambda score: score.passes),
        compiles=_compare_rates(pairs, lambda score: score.compiles),
        adheres=_compare_rates(pairs, lambda score: score.adheres),
        tests=_compare_rates(pairs, lambda score: score.tests_passed),
        bleu=_bleu_difference(pairs),
        chrf=paired_difference(
            [ours.score.chrf for ours, _ in pairs],
            [theirs.score.chrf for _, theirs in pairs],
            [ours.cluster for ours, _ in pairs],
        ),
        per_category=_per_category(pairs),
    )


def paired_results(candidate: ArmResult, incumbent: ArmResult) -> tuple[Pair, ...]:
    """Return the first samples of both arms, task by task, in the candidate's order.

    Raises QiPipelineError, naming tasks, when one arm lacks a task or a first sample that the other
    has, or has one twice.
    """
    new, old = candidate.first_samples, incumbent.first_samples
    by_id = {result.task_id: result for result in old}
    for arm, results in ((candidate, new), (incumbent, old)):
        repeated = len(results) - len({result.task_id for result in results})
        if repeated:
            raise QiPipelineError(f"arm {arm.name!r} answers {repeated} tasks twice; measure again")
    unpaired = sorted(by_id.keys() ^ {result.task_id for result in new})
    if unpaired:
        more = f" and {len(unpaired) - _NAMED} more" if len(unpaired) > _NAMED else ""
        raise QiPipelineError(
            f"arms {candidate.name!r} and {incumbent.name!r} did not answer the same tasks: "
            f"{', '.join(unpaired[:_NAMED])}{more}; measure both on the same suite"
        )
    return tuple((result, by_id[result.task_id]) for result in new)


def _compare_rates(pairs: Sequence[Pair], outcome: Callable[[TaskScore], bool]) -> RateComparison:
    new = [outcome(ours.score) for ours, _ in pairs]
    old = [outcome(theirs.score) for _, theirs in pairs]
    clusters = [ours.cluster for ours, _ in pairs]
    return RateComparison(
        pairs=compare_pairs(new, old),
        difference=paired_difference(new, old, clusters),
        clustered_p=cluster_sign_flip(new, old, clusters),
    )


def _bleu_difference(pairs: Sequence[Pair]) -> Interval:
    import numpy as np  # noqa: PLC0415

    new = np.array([ours.score.bleu_statistics for ours, _ in pairs])
    old = np.array([theirs.score.bleu_statistics for _, theirs in pairs])

    def bleu(rows: "NDArray[np.int_]") -> float:
        # The statistics of a corpus are the sums of its answers'; NumPy adds them up faster.
        return bleu_of_statistics([tuple(int(total) for total in rows.sum(axis=0))])

    return bootstrap(
        len(pairs),
        lambda draw: bleu(new[draw]) - bleu(old[draw]),
        [ours.cluster for ours, _ in pairs],
    )


def _per_category(pairs: Sequence[Pair]) -> dict[Category, PairedCounts]:
    members = {
        category: [pair for pair in pairs if pair[0].category == category]
        for category in CATEGORIES
    }
    return {
        category: compare_pairs(
            [ours.score.passes for ours, _ in group], [theirs.score.passes for _, theirs in group]
        )
        for category, group in members.items()
        if group
    }
