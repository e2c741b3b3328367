"""Error bars: exact intervals for proportions, bootstrap intervals for everything else.

Flows in: counts and samples. Flows out: intervals at 95% and paired counts. What is counted does
not belong here.
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

CONFIDENCE = 0.95
_RESAMPLES = 1000
_FEWEST_FOR_BOOTSTRAP = 2

# JSON has no NaN: an unknown figure is written as null and read back as NaN.
Figure = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: None if math.isnan(value) else value, when_used="json"),
]


class Interval(BaseModel):
    """A figure and its 95% interval; all three are NaN when there was nothing to measure."""

    model_config = ConfigDict(frozen=True)

    value: Figure
    low: Figure
    high: Figure


class Proportion(BaseModel):
    """`count` of `n`, with the rate and its exact interval (NaN when n is 0)."""

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
    """Two-sided exact sign test over won and lost (McNemar's exact test); 1 when both are 0."""


def proportion(count: int, n: int) -> Proportion:
    """Return `count / n` with its Clopper-Pearson 95% interval.

    The interval inverts the exact binomial test (Clopper and Pearson, Biometrika 26, 1934): it
    never covers less than 95%, also for the small n of a task suite.
    """
    if n == 0:
        return Proportion(count=0, n=0, rate=math.nan, low=math.nan, high=math.nan)
    from scipy.stats import binomtest  # noqa: PLC0415

    interval = binomtest(count, n).proportion_ci(CONFIDENCE, method="exact")
    return Proportion(
        count=count, n=n, rate=count / n, low=float(interval.low), high=float(interval.high)
    )


def compare_pairs(first: Sequence[bool], second: Sequence[bool]) -> PairedCounts:
    """Compare two arms' outcomes on the same tasks in the same order.

    Raises ValueError when the lengths differ.
    """
    pairs = list(zip(first, second, strict=True))
    won = sum(a and not b for a, b in pairs)
    lost = sum(b and not a for a, b in pairs)
    return PairedCounts(
        won=won, lost=lost, tied=len(pairs) - won - lost, p_value=_sign_test(won, lost)
    )


def _sign_test(won: int, lost: int) -> float:
    if won + lost == 0:
        return 1.0
    from scipy.stats import binomtest  # noqa: PLC0415

    return float(binomtest(won, won + lost).pvalue)


def bootstrap(n: int, statistic: Callable[[Sequence[int]], float], seed: int = 0) -> Interval:
    """Return the statistic over `n` samples with its 95% percentile bootstrap interval.

    `statistic` receives indices into the samples (with repetition when resampled). 1000 resamples
    with a fixed seed, so equal samples give equal intervals (Koehn, EMNLP 2004, for BLEU). Fewer
    than two samples give no interval, none give no value.
    """
    value = statistic(range(n)) if n else math.nan
    if n < _FEWEST_FOR_BOOTSTRAP:
        return Interval(value=value, low=math.nan, high=math.nan)
    import numpy as np  # noqa: PLC0415

    draws = np.random.default_rng(seed).integers(0, n, size=(_RESAMPLES, n)).tolist()
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile([statistic(draw) for draw in draws], [tail, 100 - tail])
    return Interval(value=value, low=float(low), high=float(high))
