import math
import re

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.comparison import Comparison, compare_arms
from qi_pipeline.evaluation.scoring import bleu_of_statistics
from qi_pipeline_tests.evaluation.outcomes import ALIKE, UNLIKE, arm, arm_of, result, score

OLD = ["cat"] * 32 + ["ca"] * 32 + ["c"] * 32 + [""] * 32


def test_every_headline_figure_is_compared_task_by_task() -> None:
    comparison = compare_arms(arm("new", ["cat"] * 128), arm("old", OLD))
    assert (comparison.candidate, comparison.incumbent, comparison.n) == ("new", "old", 128)
    won = {
        name: getattr(comparison, name).pairs.won
        for name in ("passes", "compiles", "adheres", "tests")
    }
    assert won == {"passes": 96, "compiles": 32, "adheres": 64, "tests": 96}
    assert comparison.compiles.difference.value == 32 / 128
    # Both arms are the same on every pattern type, so all eight clusters moved alike.
    assert comparison.passes.clustered_p == 2 / 2**8


def test_tasks_of_one_pattern_type_are_one_cluster() -> None:
    one_type_lost = ["" if number % 8 == 0 else "cat" for number in range(128)]
    comparison = compare_arms(arm("new", one_type_lost), arm("old", ["cat"] * 128))
    assert comparison.passes.pairs.lost == 16
    assert comparison.passes.pairs.p_value < 0.001
    assert comparison.passes.clustered_p == 1
    assert comparison.passes.difference.high == 0


def test_general_tasks_are_clusters_of_their_own() -> None:
    new, old = (
        arm(name, outcomes, general=True)
        for name, outcomes in (("new", ["cat"] * 20), ("old", [""] * 8 + ["cat"] * 12))
    )
    assert compare_arms(new, old).passes.clustered_p == 2 / 2**8


def test_categories_are_compared_by_what_passes() -> None:
    # Eight tasks of each category take turns.
    new = ["cat" if number // 8 % 4 == 3 else "ca" for number in range(128)]
    comparison = compare_arms(arm("new", new), arm("old", ["ca"] * 128))
    counts = {name: (pairs.won, pairs.n) for name, pairs in comparison.per_category.items()}
    assert counts == {
        "basic": (0, 32),
        "intermediate": (0, 32),
        "advanced": (0, 32),
        "expert": (32, 32),
    }


def test_categories_without_tasks_are_left_out() -> None:
    comparison = compare_arms(arm("new", ["cat"] * 8), arm("old", ["cat"] * 8))
    assert list(comparison.per_category) == ["basic"]


def test_bleu_and_chrf_are_differences_in_points() -> None:
    new = [result(n, score("", ALIKE if n % 2 else UNLIKE, 40.0 + n)) for n in range(16)]
    old = [result(n, score("", UNLIKE, 39.0)) for n in range(16)]
    comparison = compare_arms(arm_of("new", tuple(new)), arm_of("old", tuple(old)))
    expected = bleu_of_statistics([ALIKE, UNLIKE] * 8) - bleu_of_statistics([UNLIKE] * 16)
    assert comparison.bleu.value == pytest.approx(expected)
    assert 0 <= comparison.bleu.low < expected < comparison.bleu.high
    assert comparison.chrf.value == pytest.approx(1 + 7.5)
    assert comparison.chrf.low > 0


def test_what_is_hard_for_both_arms_cancels_out_of_the_difference() -> None:
    results = tuple(result(n, score("", ALIKE if n % 3 else UNLIKE, 40.0 + n)) for n in range(16))
    comparison = compare_arms(arm_of("new", results), arm_of("old", results))
    for difference in (comparison.bleu, comparison.chrf):
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_the_order_of_the_answers_does_not_matter() -> None:
    new, old = arm("new", OLD[::-1]), arm("old", OLD)
    turned = old.model_copy(update={"results": old.results[::-1]})
    assert compare_arms(new, turned) == compare_arms(new, old)


def test_only_the_first_sample_of_a_task_counts() -> None:
    results = [
        result(number, score("cat" if sample == 0 else ""), sample=sample)
        for number in range(16)
        for sample in range(3)
    ]
    comparison = compare_arms(arm_of("new", tuple(results)), arm("old", [""] * 16))
    assert (comparison.n, comparison.passes.pairs.won) == (16, 16)


def test_arms_of_different_tasks_are_refused_by_name() -> None:
    new, old = arm("new", ["cat"] * 16), arm("old", ["cat"] * 9)
    message = "did not answer the same tasks: task-009, .*, task-013 and 2 more"
    for first, second in ((new, old), (old, new)):
        with pytest.raises(QiPipelineError, match=message):
            compare_arms(first, second)


def test_an_arm_that_answers_a_task_twice_is_refused() -> None:
    once = arm("old", ["cat"] * 6)
    twice = once.model_copy(update={"name": "new", "results": once.results + once.results[:1]})
    with pytest.raises(QiPipelineError, match=re.escape("'new' answers 1 tasks twice")):
        compare_arms(twice, once)


def test_too_few_tasks_give_counts_without_figures() -> None:
    comparison = compare_arms(arm("new", ["cat"] * 4), arm("old", [""] * 4))
    assert comparison.passes.pairs.won == 4
    figures = (
        comparison.passes.pairs.p_value,
        comparison.passes.difference.value,
        comparison.passes.clustered_p,
        comparison.bleu.value,
        comparison.chrf.value,
    )
    assert all(map(math.isnan, figures))
    text = comparison.model_dump_json()
    assert "NaN" not in text
    assert Comparison.model_validate_json(text).passes.pairs.won == 4


def test_a_comparison_repeats_itself() -> None:
    new, old = arm("new", OLD[::-1], bleu_statistics=UNLIKE), arm("old", OLD)
    assert compare_arms(new, old) == compare_arms(new, old)
