import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import ArmResult
from qi_pipeline.evaluation.gate import decide_release
from qi_pipeline.evaluation.generation import GenerationOptions
from qi_pipeline_tests.evaluation.samples import (
    GOOD,
    NOT_ADHERING,
    NOT_COMPILING,
    USELESS,
    make_arm,
)


def arm(name: str, *answers: str) -> ArmResult:
    return make_arm(name, {f"task-{number}": text for number, text in enumerate(answers)})


def test_more_passing_answers_release_even_when_fewer_compile() -> None:
    old = arm("old", GOOD, NOT_ADHERING, NOT_ADHERING)
    new = arm("new", GOOD, GOOD, USELESS)
    decision = decide_release(new, old)
    assert decision.release
    assert "2 of 3" in decision.reason
    assert decision.lines[0] == "compile and adhere: 2 against 1 of 3, won 1, lost 0, tied 2"


def test_fewer_passing_answers_never_release() -> None:
    old = arm("old", GOOD, GOOD, USELESS)
    new = arm("new", GOOD, NOT_ADHERING, NOT_COMPILING)
    decision = decide_release(new, old)
    assert not decision.release
    assert "fewer than the incumbent's 2" in decision.reason


def test_equal_passes_are_decided_by_compiled_plus_adhering() -> None:
    better, worse = arm("a", GOOD, NOT_ADHERING), arm("b", GOOD, USELESS)
    assert decide_release(better, worse).release
    decision = decide_release(worse, better)
    assert not decision.release
    assert "2, less than the incumbent's 3" in decision.reason


def test_a_clearly_lower_bleu_decides_a_full_tie() -> None:
    old = arm("old", *[NOT_COMPILING] * 6)
    # Same counts as `old`, padded with words that no reference holds.
    padding = "".join(f"const padding{number} = {number};\n" for number in range(60))
    new = arm("new", *[NOT_COMPILING + padding] * 6)
    assert decide_release(old, new).release
    decision = decide_release(new, old)
    assert not decision.release
    assert "BLEU is clearly lower" in decision.reason


def test_no_measurable_difference_releases() -> None:
    assert decide_release(arm("new", GOOD, USELESS), arm("old", GOOD, USELESS)).release


def test_the_incumbent_is_not_released_over_itself() -> None:
    decision = decide_release(arm("same", GOOD), arm("same", GOOD))
    assert not decision.release
    assert "already in place" in decision.reason


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tasks_hash": "other"}, "task suites"),
        ({"library_hash": "other"}, "checker libraries"),
        ({"options": GenerationOptions(max_tokens=24)}, "generation options"),
    ],
)
def test_arms_measured_differently_are_refused(change: dict[str, object], named: str) -> None:
    old = arm("old", GOOD)
    with pytest.raises(QiPipelineError, match=named):
        decide_release(arm("new", GOOD).model_copy(update=change), old)


def test_the_number_of_threads_is_no_different_measure() -> None:
    old = arm("old", GOOD).model_copy(update={"options": GenerationOptions(threads=1)})
    assert decide_release(arm("new", GOOD), old).release
