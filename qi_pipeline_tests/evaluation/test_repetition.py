"""When an answer is nothing but the same again and again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.evaluation.repetition import is_stuck

SOMETHING = [901, 902, 903]


@given(st.integers(1, 60), st.integers(0, 59))
def test_the_same_tokens_four_times_are_a_repetition(period: int, more: int) -> None:
    turn = list(range(period))
    enough = max(128, 4 * period)
    repeated = (turn * 200)[: enough + more]
    assert is_stuck(SOMETHING + repeated)
    assert not is_stuck(SOMETHING + repeated[: enough - 1])


def test_three_turns_are_none_however_long() -> None:
    turn = list(range(100))
    assert not is_stuck(turn * 3)
    assert is_stuck(turn * 4)


def test_a_counter_moves_on() -> None:
    assert not is_stuck([token for number in range(200) for token in (1, 2, 1000 + number)])


@pytest.mark.parametrize("tokens", [[], [1], [1] * 127])
def test_a_short_answer_is_never_cut_off(tokens: list[int]) -> None:
    assert not is_stuck(tokens)
