import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.evaluation import page
from qi_pipeline.evaluation.records import PastEvaluation
from qi_pipeline.evaluation.statistics import Interval, proportion
from qi_pipeline_tests.evaluation.samples import GOOD, NOT_ADHERING, NOT_COMPILING, make_attempt

LINES = st.lists(st.sampled_from(["}", "a", "b", "", "  c"]), max_size=12)
NAN = math.nan


@given(LINES, LINES)
def test_a_difference_holds_both_texts_whole_and_in_order(
    code: list[str], other: list[str]
) -> None:
    # A text that ends in an empty line cannot be told from one without it.
    lines = page.diff_lines("\n".join([*code, "end"]), "\n".join([*other, "end"]))
    assert [line.text for line in lines if line.kind != "reference"] == [*code, "end"]
    assert [line.text for line in lines if line.kind != "answer"] == [*other, "end"]


def test_lines_that_occur_often_are_compared_too() -> None:
    same = "}\n" * 300
    lines = page.diff_lines(f"{same}new\n{same}", f"{same}{same}")
    assert [line.text for line in lines if line.kind != "both"] == ["new"]


def test_a_text_too_long_to_compare_is_shown_unmarked() -> None:
    code = "x\n" * 1001
    assert {line.kind for line in page.diff_lines(code, GOOD)} == {"both"}


def test_what_stands_around_code_is_kept_as_written() -> None:
    answer = f"Look:\n```ts\n{GOOD}```\nDone."
    around = page.around_code(answer, GOOD)
    assert around is not None
    assert f"{around.before}{GOOD.strip()}{around.after}" == answer
    assert around.says_something


@pytest.mark.parametrize("answer", [GOOD, f"```typescript\n{GOOD}```\n", f"\n~~~\n{GOOD}~~~"])
def test_a_fence_alone_says_nothing(answer: str) -> None:
    around = page.around_code(answer, GOOD)
    assert around is not None
    assert not around.says_something


def test_code_that_the_answer_does_not_hold_has_no_surroundings() -> None:
    assert page.around_code("```ts\nexport {};\n```", GOOD) is None


def test_an_empty_answer_has_nothing_around_its_code() -> None:
    around = page.around_code("\n", "\n")
    assert around is not None
    assert not around.says_something


def test_attempts_are_named_and_repetitions_found() -> None:
    attempts = [
        make_attempt(NOT_COMPILING),
        make_attempt(GOOD, sample=1),
        make_attempt(GOOD, sample=2),
        make_attempt(NOT_ADHERING, turn=1),
    ]
    views = page.attempt_views(attempts, GOOD)
    assert [(view.title, view.delivered, view.same_as) for view in views] == [
        ("candidate 1", False, None),
        ("candidate 2", True, None),
        ("candidate 3", False, "candidate 2"),
        ("repair 1", False, None),
    ]


def test_long_texts_are_cut_and_the_rest_is_counted() -> None:
    assert page.cut("short") == ("short", 0)
    shown, left_out = page.cut("x" * 20_007)
    assert (len(shown), left_out) == (20_000, 7)


@pytest.mark.parametrize(
    ("interval", "p_values", "word"),
    [
        ((1, 0.5, 2), (), "better"),
        ((1, 0.5, 2), (0.01, NAN), "better"),
        ((1, 0.5, 2), (0.01, 0.2), "not clear"),
        ((-1, -2, -0.5), (0.01, 0.04), "worse"),
        ((1, -0.1, 2), (), "not clear"),
        ((0, 0, 0), (1, 1), "not clear"),
        ((1, NAN, NAN), (0.01,), "unknown"),
    ],
)
def test_a_difference_is_clear_only_when_everything_agrees(
    interval: tuple[float, float, float], p_values: tuple[float, ...], word: str
) -> None:
    value, low, high = interval
    assert page.difference_word(Interval(value=value, low=low, high=high), p_values) == word


def test_figures_are_worded_without_nan() -> None:
    assert page.rate_text(proportion(3, 12)) == "25%"
    assert page.rate_text(proportion(3, 4)) == "too few (4)"
    assert page.rate_text(proportion(0, 0)) == "no tasks"
    assert page.signed(-1.26) == "\N{MINUS SIGN}1.3"
    assert page.signed(2) == "+2.0"
    assert page.signed(-0.04) == page.signed(0.04) == page.signed(0) == "0.0"
    assert page.p_value(0.0004) == "<\N{NO-BREAK SPACE}0.001"
    assert {f(NAN) for f in (page.percent, page.figure, page.signed, page.p_value)} == {"unknown"}
    assert not page.span(NAN, NAN)
    assert page.words(None) == "general TypeScript"


def test_positions_stay_on_the_track() -> None:
    assert page.position(0.5, 0, 1) == "50.00%"
    assert page.position(-25, -50, 50) == "25.00%"
    assert page.position(80, -50, 50) == "100.00%"
    assert page.position(NAN, 0, 1) == page.position(1, 0, 0) == "0%"


def test_the_scale_of_differences_is_round_and_holds_all() -> None:
    def bound(*ends: float) -> float:
        return page.symmetric_bound(Interval(value=0, low=end, high=0) for end in ends)

    assert bound(-3, 4) == 5
    assert bound(-11) == 25
    assert bound(NAN) == 5
    assert bound(-99) == 100


def past(day: int, arm: str, count: int, n: int = 10) -> PastEvaluation:
    rate = proportion(count, n)
    return PastEvaluation(
        measured_at=f"2026-01-{day:02}T12:00:00+00:00",
        commit="c",
        arm=arm,
        model_hash="m",
        passes=rate,
        compiles=rate,
        adheres=rate,
        tests=rate,
        bleu=20,
    )


def test_trends_share_one_axis_in_the_order_of_time() -> None:
    earlier = [past(4, "tuned", 8), past(2, "tuned", 2), past(2, "base", 1), past(3, "old", 5)]
    base, tuned, old = page.trends(earlier, [past(5, "base", 0), past(5, "tuned", 10)])
    assert [trend.arm for trend in (base, tuned, old)] == ["base", "tuned", "old"]
    assert [point.evaluation.passes.count for point in tuned.points] == [2, 8, 10]
    assert [point.x for point in base.points] == [tuned.points[0].x, tuned.points[2].x]
    assert tuned.points[0].x < old.points[0].x < tuned.points[1].x < tuned.points[2].x
    assert tuned.points[2].y < tuned.points[0].y, "more is higher up"
    assert tuned.points[0].high < tuned.points[0].y < tuned.points[0].low


def test_time_goes_by_the_instant_not_by_its_spelling() -> None:
    later = past(2, "tuned", 9)
    earlier = past(1, "tuned", 3).model_copy(update={"measured_at": "2026-01-02T13:00:00+09:00"})
    (trend,) = page.trends([later], [earlier])
    assert [point.evaluation.passes.count for point in trend.points] == [3, 9]


def test_an_evaluation_without_a_rate_breaks_the_line() -> None:
    (trend,) = page.trends([past(1, "a", 1), past(2, "a", 1, n=3)], [past(3, "a", 1)])
    assert [point.known for point in trend.points] == [True, False, True]
    assert not trend.segments
