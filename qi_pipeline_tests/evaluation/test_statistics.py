import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.evaluation.statistics import Proportion, bootstrap, compare_pairs, proportion


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        # R: binom.test(count, n)$conf.int
        (0, 10, 0.0, 0.3084971),
        (10, 10, 0.6915029, 1.0),
        (5, 10, 0.1870860, 0.8129140),
        (1, 24, 0.001054, 0.211202),
        # Clopper and Pearson's own closed form for no successes: 1 - 0.025 ** (1 / n).
        (0, 24, 0.0, 1 - 0.025 ** (1 / 24)),
    ],
)
def test_intervals_are_clopper_pearson(count: int, n: int, low: float, high: float) -> None:
    result = proportion(count, n)
    assert [result.low, result.high] == pytest.approx([low, high], abs=1e-6)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_mirrors_failure(pair: tuple[int, int]) -> None:
    count, n = pair
    result, mirrored = proportion(count, n), proportion(n - count, n)
    assert 0 <= result.low <= result.rate <= result.high <= 1
    assert result.low == pytest.approx(1 - mirrored.high)


def test_no_samples_give_nan_and_survive_json() -> None:
    empty = proportion(0, 0)
    assert math.isnan(empty.rate)
    text = empty.model_dump_json()
    assert "NaN" not in text
    assert math.isnan(Proportion.model_validate_json(text).low)


def test_pairs_are_won_lost_and_tied() -> None:
    result = compare_pairs([True, True, False, True], [False, True, True, False])
    assert (result.won, result.lost, result.tied) == (2, 1, 1)
    assert compare_pairs([True] * 6, [False] * 6).p_value == pytest.approx(2 / 64)
    assert compare_pairs([True], [True]).p_value == 1


def test_unequal_pairs_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare_pairs([True], [])


def test_the_bootstrap_repeats_itself_and_covers_the_mean() -> None:
    values = [float(value) for value in range(30)]

    def mean(draw: Sequence[int]) -> float:
        return sum(values[index] for index in draw) / len(draw)

    first = bootstrap(30, mean)
    assert first == bootstrap(30, mean)
    # Normal theory: 14.5 +- 1.96 * 8.66 / sqrt(30).
    assert first.low == pytest.approx(11.4, abs=0.5)
    assert first.high == pytest.approx(17.6, abs=0.5)


def test_the_bootstrap_of_too_few_has_no_interval() -> None:
    one = bootstrap(1, lambda draw: float(len(draw)))
    assert one.value == 1
    assert math.isnan(one.low)
    assert math.isnan(bootstrap(0, lambda draw: 1.0 / len(draw)).value)
