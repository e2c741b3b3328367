import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.statistics import (
    FEWEST_CLUSTERS,
    FEWEST_TASKS,
    Proportion,
    bootstrap,
    bootstrap_mean,
    cluster_sign_flip,
    compare_pairs,
    holm,
    mean_pass_at_k,
    paired_difference,
    pass_at_each_k,
    pass_at_k,
    proportion,
)


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


@given(st.integers(FEWEST_TASKS, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_mirrors_failure(pair: tuple[int, int]) -> None:
    count, n = pair
    result, mirrored = proportion(count, n), proportion(n - count, n)
    assert 0 <= result.low <= result.rate <= result.high <= 1
    assert result.low == pytest.approx(1 - mirrored.high)


@pytest.mark.parametrize("n", range(FEWEST_TASKS))
def test_too_few_samples_have_a_count_but_no_rate_and_survive_json(n: int) -> None:
    few = proportion(n, n)
    assert (few.count, few.n) == (n, n)
    assert math.isnan(few.rate)
    text = few.model_dump_json()
    assert "NaN" not in text
    assert math.isnan(Proportion.model_validate_json(text).low)
    assert not math.isnan(proportion(FEWEST_TASKS, FEWEST_TASKS).rate)


def test_pairs_are_won_lost_and_tied() -> None:
    result = compare_pairs([True, True, False, True, True], [False, True, True, False, True])
    assert (result.won, result.lost, result.tied, result.n) == (2, 1, 2, 5)
    assert compare_pairs([True] * 5, [True] * 5).p_value == 1


def test_mcnemar_is_the_binomial_test_of_won_against_lost() -> None:
    # 6 of 6 heads: 2 / 2**6 on both sides, 1 / 2**6 on one.
    won, lost = compare_pairs([True] * 6, [False] * 6), compare_pairs([False] * 6, [True] * 6)
    assert won.p_value == lost.p_value == pytest.approx(2 / 64)
    assert lost.p_fewer == pytest.approx(1 / 64)
    assert won.p_fewer == 1


def test_pairs_of_too_few_tasks_have_no_p_value() -> None:
    few = compare_pairs([True] * 4, [False] * 4)
    assert few.won == 4
    assert math.isnan(few.p_value)
    assert math.isnan(few.p_fewer)


def test_unequal_pairs_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare_pairs([True], [])


def test_holm_adjusts_in_order_of_size_and_never_falls() -> None:
    # Holm's own step-down: 3 x 0.01, 2 x 0.03, then not less than the one before.
    adjusted = holm({"b": 0.03, "a": 0.01, "c": 0.04, "untested": math.nan})
    assert adjusted["a"] == pytest.approx(0.03)
    assert adjusted["b"] == adjusted["c"] == pytest.approx(0.06)
    assert math.isnan(adjusted["untested"])
    assert list(adjusted) == ["b", "a", "c", "untested"]
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1, "b": 1}


def test_the_bootstrap_repeats_itself_and_covers_the_mean() -> None:
    values = [float(value) for value in range(30)]

    def mean(draw: Any) -> float:
        return float(sum(values[index] for index in draw) / len(draw))

    first = bootstrap(30, mean)
    assert first == bootstrap(30, mean) == bootstrap_mean(values)
    # Normal theory: 14.5 +- 1.96 * 8.66 / sqrt(30).
    assert first.low == pytest.approx(11.4, abs=0.5)
    assert first.high == pytest.approx(17.6, abs=0.5)


def test_the_bootstrap_draws_whole_clusters() -> None:
    clusters = ["a", "b", "b", "c", "d", "d", "d", "e", "f"]
    sizes = {cluster: clusters.count(cluster) for cluster in clusters}
    draws: list[list[int]] = []

    def remember(draw: Any) -> float:
        draws.append(draw.tolist())
        return float(len(draw))

    result = bootstrap(9, remember, clusters)
    assert draws[0] == list(range(9))
    assert result.low < 9 < result.high
    for draw in draws:
        drawn = [clusters[index] for index in draw]
        assert all(drawn.count(name) % sizes[name] == 0 for name in drawn)
        assert sum(drawn.count(name) // sizes[name] for name in set(drawn)) == len(sizes)


def test_alike_tasks_widen_the_clustered_interval() -> None:
    # Eight clusters of 16 equal tasks are 8 observations and not 128.
    values = [float(cluster % 2) for cluster in range(8) for _ in range(16)]
    clusters = [cluster for cluster in range(8) for _ in range(16)]
    alone, clustered = bootstrap_mean(values), bootstrap_mean(values, clusters)
    assert alone.value == clustered.value == 0.5
    # Standard errors 0.5 / sqrt(128) and 0.5 / sqrt(8).
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * 0.0442, abs=0.02)
    assert clustered.high - clustered.low == pytest.approx(2 * 1.96 * 0.1768, abs=0.1)


def test_too_few_tasks_give_no_figure_and_too_few_clusters_no_interval() -> None:
    few = bootstrap_mean([1.0] * (FEWEST_TASKS - 1))
    assert math.isnan(few.value)
    assert math.isnan(few.low)
    assert math.isnan(bootstrap(0, lambda _: 1.0).value)
    clusters = [index % (FEWEST_CLUSTERS - 1) for index in range(20)]
    result = bootstrap_mean([float(index) for index in range(20)], clusters)
    assert result.value == 9.5
    assert math.isnan(result.low)
    assert math.isnan(result.high)


def test_clusters_must_be_given_for_every_sample() -> None:
    with pytest.raises(ValueError, match="3 clusters for 6 samples"):
        bootstrap(6, lambda _: 0.0, ["a", "b", "c"])


def test_what_is_hard_for_both_arms_cancels_out_of_a_difference() -> None:
    hard = [True, False] * 32
    # The second arm fails 8 tasks more, wherever they are.
    second = [value and index % 16 != 0 for index, value in enumerate(hard)]
    difference = paired_difference(hard, second)
    assert difference.value == pytest.approx(4 / 64)
    # Unpaired the standard error would be sqrt(2 * 0.25 / 64) = 0.088; paired it is 0.030.
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * 0.030, abs=0.02)
    assert paired_difference(second, hard).value == -difference.value


def _enumerated(sums: Sequence[int]) -> float:
    seen = abs(sum(sums))
    totals = [
        abs(sum(sign * size for sign, size in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    return sum(total >= seen for total in totals) / len(totals)


@given(st.lists(st.integers(-4, 4), min_size=FEWEST_CLUSTERS, max_size=10))
def test_the_sign_flip_test_counts_every_assignment_of_signs(sums: list[int]) -> None:
    first: list[bool] = []
    second: list[bool] = []
    clusters: list[int] = []
    for cluster, total in enumerate(sums):
        outcomes = [(total > 0, total < 0)] * abs(total) + [(True, True)]
        for ours, theirs in outcomes:
            first.append(ours)
            second.append(theirs)
            clusters.append(cluster)
    p = cluster_sign_flip(first, second, clusters)
    assert p == pytest.approx(_enumerated(sums))
    assert cluster_sign_flip(second, first, clusters) == p


def test_losses_in_one_cluster_are_no_evidence_of_a_general_loss() -> None:
    clusters = [index // 16 for index in range(128)]
    worse = [index >= 12 for index in range(128)]
    assert compare_pairs(worse, [True] * 128).p_value < 0.001
    assert cluster_sign_flip(worse, [True] * 128, clusters) == 1
    # The same twelve losses spread over six clusters: 2 / 2**6.
    spread = [index % 16 >= 2 or index // 16 >= 6 for index in range(128)]
    assert cluster_sign_flip(spread, [True] * 128, clusters) == pytest.approx(2 / 64)


def test_the_sign_flip_test_needs_tasks_and_clusters() -> None:
    assert math.isnan(cluster_sign_flip([True] * 4, [False] * 4, range(4)))
    assert math.isnan(cluster_sign_flip([True] * 50, [False] * 50, [n % 5 for n in range(50)]))
    assert cluster_sign_flip([True] * 50, [False] * 50, [n % 6 for n in range(50)]) == 2 / 64


def test_many_clusters_are_still_exact() -> None:
    # One task a cluster makes it McNemar's test.
    first = [index % 3 == 0 for index in range(148)]
    second = [index % 4 == 0 for index in range(148)]
    assert cluster_sign_flip(first, second, range(148)) == pytest.approx(
        compare_pairs(first, second).p_value
    )


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(pair: tuple[int, int]) -> None:
    n, c = pair
    passing = [index < c for index in range(n)]
    for k in range(1, min(n, 4) + 1):
        subsets = list(itertools.combinations(passing, k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_pass_at_k_is_unbiased(k: int) -> None:
    chances = [math.comb(10, c) * 0.2**c * 0.8 ** (10 - c) for c in range(11)]
    expected = sum(chance * pass_at_k(10, c, k) for c, chance in enumerate(chances))
    assert expected == pytest.approx(1 - 0.8**k)


@pytest.mark.parametrize("k", [0, 5])
def test_pass_at_k_of_too_few_samples_is_an_error(k: int) -> None:
    with pytest.raises(QiPipelineError, match=rf"pass@{k} of 4 samples .* draw at least"):
        pass_at_k(4, 1, k)
    with pytest.raises(QiPipelineError, match="5 of 4 samples pass"):
        pass_at_k(4, 5, 1)


def test_mean_pass_at_k_is_over_tasks_and_clustered() -> None:
    counts = [(4, index // 8) for index in range(40)]
    clusters = [index // 5 for index in range(40)]
    result = mean_pass_at_k(counts, 2, clusters)
    assert result.value == pytest.approx(sum(pass_at_k(4, c, 2) for c in range(5)) / 5)
    assert result.low < result.value < result.high
    assert result == mean_pass_at_k(counts, 2, clusters)


def test_pass_at_each_k_goes_as_far_as_the_task_with_the_fewest_samples() -> None:
    counts = [(5, 2)] * 7 + [(6, 3)]
    found = pass_at_each_k(counts)
    assert list(found) == [1, 2, 4]
    assert found[2] == mean_pass_at_k(counts, 2)
    assert pass_at_each_k([]) == pass_at_each_k([(0, 0)]) == {}
