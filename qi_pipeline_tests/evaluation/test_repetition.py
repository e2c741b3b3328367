"""When an answer is nothing but the same again and again."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.evaluation.generation import LocalModel, generate_answers
from qi_pipeline.evaluation.records import GenerationOptions, Message, Request
from qi_pipeline.evaluation.repetition import is_stuck
from qi_pipeline.evaluation.tasks import bundled_suite, general_suite, load_tasks

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


def test_no_reference_would_be_cut_off(tokenizer: Any) -> None:
    for suite in (bundled_suite(), general_suite()):
        for task in load_tasks(suite):
            tokens = tokenizer.encode(task.reference, add_special_tokens=False)
            ends = range(1, len(tokens) + 1)
            assert not any(is_stuck(tokens[:end]) for end in ends), task.id


@pytest.mark.slow
def test_a_model_that_repeats_itself_is_stopped(tmp_path: Path, small_model: Path) -> None:
    options = GenerationOptions(max_tokens=600, n_ctx=1024, slots=2, threads=1)
    asked = [
        Request(task_id=name, messages=(Message(role="user", content=prompt),), sample=0)
        for name, prompt in (("loop", load_tasks(bundled_suite())[0].prompt), ("short", "Say hi."))
    ]
    answers = list(generate_answers(LocalModel(small_model), asked, options, tmp_path, print))
    found = {answer.task_id: answer for answer in answers}
    assert found["loop"].finish_reason == "repetition"
    assert 128 <= found["loop"].tokens < 600
    assert found["short"].finish_reason == "stop"
