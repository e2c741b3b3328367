"""Error bars and tests: exact where there is an exact one, a clustered bootstrap elsewhere.

Flows in: counts and samples, and which cluster each sample belongs to. Flows out: intervals at 95%,
paired counts and p-values. What is counted does not belong here.

Tasks of one pattern type are alike, so they are no independent draws: what resamples or permutes,
does it to whole clusters. Too few samples give no number at all (`FEWEST_TASKS`), too few clusters
no interval and no p-value (`FEWEST_CLUSTERS`): NaN says so.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from qi_pipeline.errors import QiPipelineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
FEWEST_TASKS: Final = 5
"""Of fewer tasks no rate is given: one answer more or less would move it by a fifth or more."""
FEWEST_CLUSTERS: Final = 6
"""The fewest for which the two-sided sign-flip test can fall below 0.05 at all: 2 / 2**6 = 0.031.
The bootstrap of fewer clusters is known to give intervals that are too narrow (Cameron, Gelbach and
Miller, Review of Economics and Statistics 90, 2008)."""
_RESAMPLES: Final = 1000

# JSON has no NaN: an unknown figure is written as null and read back as NaN.
Figure = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: None if math.isnan(value) else value, when_used="json"),
]


class Interval(BaseModel):
    """A figure and its 95% interval; NaN where there was too little to measure."""

    model_config = ConfigDict(frozen=True)

    value: Figure
    low: Figure
    high: Figure


class Proportion(BaseModel):
    """`count` of `n`, with the rate and its exact interval (NaN when n is below FEWEST_TASKS)."""

    model_config = ConfigDict(frozen=True)

    count: int
    n: int
    rate: Figure
    low: Figure
    high: Figure


class PairedCounts(BaseModel):
    """How two arms compare on the same tasks."""

    model_config = ConfigDict(frozen=True)

    won: int
    """Tasks only the first arm passes."""
    lost: int
    """Tasks only the second arm passes."""
    tied: int
    p_value: Figure
    """Two-sided McNemar's exact test; 1 when won and lost are 0, NaN for too few tasks."""

    @property
    def n(self) -> int:
        """Number of tasks."""
        return self.won + self.lost + self.tied

    @property
    def p_fewer(self) -> float:
        """One-sided p-value of the first arm passing fewer tasks; NaN for too few tasks."""
        return _sign_test(self.won, self.lost, "less") if self.n >= FEWEST_TASKS else math.nan


def proportion(count: int, n: int) -> Proportion:
    """Return `count / n` with its Clopper-Pearson 95% interval.

    The interval inverts the exact binomial test (Clopper and Pearson, Biometrika 26, 1934): it
    never covers less than 95%, also for the small n of a task suite.
    """
    if n < FEWEST_TASKS:
        return Proportion(count=count, n=n, rate=math.nan, low=math.nan, high=math.nan)
    from scipy.stats import binomtest  # noqa: PLC0415

    interval = binomtest(count, n).proportion_ci(CONFIDENCE, method="exact")
    return Proportion(
        count=count, n=n, rate=count / n, low=float(interval.low), high=float(interval.high)
    )


def compare_pairs(first: Sequence[bool], second: Sequence[bool]) -> PairedCounts:
    """Compare two arms' outcomes on the same tasks in the same order.

    McNemar's test in its exact form, a binomial test of won against lost (McNemar, Psychometrika
    12, 1947): it takes the tasks for independent. `cluster_sign_flip` does not.
    Raises ValueError when the lengths differ.
    """
    pairs = list(zip(first, second, strict=True))
    won = sum(a and not b for a, b in pairs)
    lost = sum(b and not a for a, b in pairs)
    enough = len(pairs) >= FEWEST_TASKS
    return PairedCounts(
        won=won,
        lost=lost,
        tied=len(pairs) - won - lost,
        p_value=_sign_test(won, lost, "two-sided") if enough else math.nan,
    )


def _sign_test(won: int, lost: int, alternative: str) -> float:
    if won + lost == 0:
        return 1.0
    from scipy.stats import binomtest  # noqa: PLC0415

    return float(binomtest(won, won + lost, alternative=alternative).pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return each p-value adjusted for there being several (Holm, Scand. J. Statistics 6, 1979).

    An adjusted value below 0.05 keeps the chance of any false alarm among them below 5%. NaN, where
    nothing was tested, stays NaN and does not count among the tests.
    """
    tested = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    adjusted = dict(p_values)
    largest = 0.0
    for rank, (p, name) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        adjusted[name] = largest
    return adjusted


def bootstrap(
    n: int,
    statistic: "Callable[[NDArray[np.intp]], float]",
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Interval:
    """Return a statistic over `n` samples with its 95% percentile bootstrap interval.

    `statistic` receives a NumPy array of indices into the samples, first 0 to n - 1, then 1000
    resamples (Efron, Annals of Statistics 7, 1979; Koehn, EMNLP 2004, for BLEU). `clusters` names
    the cluster of each sample: then whole clusters are drawn, and a resample may be longer or
    shorter than `n`; without it every sample is a cluster of its own. The seed is fixed and
    clusters are taken in order of appearance, so equal samples give equal intervals.

    Fewer than FEWEST_TASKS samples give no value, fewer than FEWEST_CLUSTERS clusters no interval.
    A sample without any spread, such as no success at all, gets an interval of no width, which is
    too narrow: for a rate use `proportion`. Raises ValueError when `clusters` is not of length n.
    """
    if clusters is not None and len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters for {n} samples; expected one each")
    if n < FEWEST_TASKS:
        return Interval(value=math.nan, low=math.nan, high=math.nan)
    import numpy as np  # noqa: PLC0415

    value = float(statistic(np.arange(n)))
    members: dict[Hashable, list[int]] = {}
    for index, cluster in enumerate(range(n) if clusters is None else clusters):
        members.setdefault(cluster, []).append(index)
    if len(members) < FEWEST_CLUSTERS:
        return Interval(value=value, low=math.nan, high=math.nan)
    groups = [np.array(indices) for indices in members.values()]
    draws = np.random.default_rng(seed).integers(0, len(groups), size=(_RESAMPLES, len(groups)))
    values = [statistic(np.concatenate([groups[group] for group in draw])) for draw in draws]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(value=value, low=float(low), high=float(high))


def bootstrap_mean(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Interval:
    """Return the mean of the values, one per task, with its clustered bootstrap interval."""
    import numpy as np  # noqa: PLC0415

    array = np.asarray(values, dtype=float)
    return bootstrap(len(array), lambda draw: float(array[draw].mean()), clusters)


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """Return the mean of first minus second, task by task, with its clustered bootstrap interval.

    Of outcomes (True and False) that is the difference of the two rates. Both arms' answers to a
    task are drawn together, so what makes a task hard for both cancels out.
    Raises ValueError when the lengths differ.
    """
    return bootstrap_mean([a - b for a, b in zip(first, second, strict=True)], clusters)


def cluster_sign_flip(
    first: Sequence[bool], second: Sequence[bool], clusters: Sequence[Hashable]
) -> float:
    """Return the two-sided p-value of an exact sign-flip test over clusters.

    Were both arms equally good, each cluster's sum of differences would be as likely with either
    sign; the p-value is the share of all 2**clusters assignments of signs whose total is at least
    as far from 0 as the one seen (Fisher's randomization test, The Design of Experiments, 1935;
    for few clusters Canay, Romano and Shaikh, Econometrica 85, 2017). The sums are whole numbers,
    so their distribution is convolved instead of enumerated: exact for any number of clusters.

    NaN for fewer than FEWEST_TASKS tasks or FEWEST_CLUSTERS clusters; ValueError when the lengths
    differ.
    """
    sums: dict[Hashable, int] = {}
    for a, b, cluster in zip(first, second, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0) + int(a) - int(b)
    if len(clusters) < FEWEST_TASKS or len(sums) < FEWEST_CLUSTERS:
        return math.nan
    ways = {0: 1}
    for size in map(abs, sums.values()):
        flipped: dict[int, int] = {}
        for total, count in ways.items():
            for sign in (size, -size):
                flipped[total + sign] = flipped.get(total + sign, 0) + count
        ways = flipped
    seen = abs(sum(sums.values()))
    extreme = sum(count for total, count in ways.items() if abs(total) >= seen)
    return extreme / (1 << len(sums))


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the chance that one of k answers passes, when c of n drawn answers do.

    The unbiased estimator 1 - C(n - c, k) / C(n, k) of Chen et al., "Evaluating Large Language
    Models Trained on Code" (2021), section 2.1.
    Raises QiPipelineError when k is not between 1 and n, or c not between 0 and n.
    """
    if not 1 <= k <= n:
        raise QiPipelineError(
            f"pass@{k} of {n} samples a task cannot be estimated; draw at least {max(k, 1)} "
            "samples a task, or ask for a k from 1 to that number"
        )
    if not 0 <= c <= n:
        raise QiPipelineError(f"{c} of {n} samples pass; expected 0 to {n}")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def mean_pass_at_k(
    counts: Sequence[tuple[int, int]], k: int, clusters: Sequence[Hashable] | None = None
) -> Interval:
    """Return the mean of pass@k over tasks with its clustered bootstrap interval.

    `counts` holds each task's number of samples and how many of them pass.
    Raises QiPipelineError when a task has fewer than k samples.
    """
    return bootstrap_mean([pass_at_k(n, c, k) for n, c in counts], clusters)


def pass_at_each_k(
    counts: Sequence[tuple[int, int]], clusters: Sequence[Hashable] | None = None
) -> dict[int, Interval]:
    """Return k to mean pass@k, for 1 and every power of two up to the fewest samples of a task.

    `counts` as for `mean_pass_at_k`; empty when a task has no sample.
    """
    fewest = min((n for n, _ in counts), default=0)
    ks = (1 << exponent for exponent in range(fewest.bit_length()))
    return {k: mean_pass_at_k(counts, k, clusters) for k in ks}
