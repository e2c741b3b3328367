import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.plan import choose_validation, plan_training
from qi_pipeline.training.presets import Preset, load_preset
from qi_pipeline.training.rows import EncodedRow


def rows_of(lengths: list[int], groups: int = 3) -> list[EncodedRow]:
    return [
        EncodedRow(f"{k}", f"group-{k % groups}", tuple(range(length)), 1, "", truncated=False)
        for k, length in enumerate(lengths)
    ]


def preset_of(**changes: object) -> Preset:
    return load_preset("tiny").model_copy(update=changes)


lengths = st.lists(st.integers(2, 60), min_size=1, max_size=80)


@given(
    lengths,
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(60, 3000),
    st.integers(0, 99),
)
def test_no_plan_exceeds_its_budget_or_repeats_a_row_within_an_epoch(
    sizes: list[int], micro: int, accumulation: int, epochs: int, budget: int, seed: int
) -> None:
    rows = rows_of(sizes)
    plan = plan_training(
        rows,
        preset_of(
            micro_batch=micro,
            accumulation=accumulation,
            epochs=epochs,
            max_tokens=budget,
            seed=seed,
        ),
    )

    assert plan.tokens == sum(sizes[index] for index in plan.order) <= budget
    assert max(plan.order.count(index) for index in set(plan.order)) <= epochs
    assert plan.unused_rows == len(rows) - len(set(plan.order))
    assert plan.epoch_ends[-1] == plan.steps
    assert list(plan.tokens_after_step) == sorted(plan.tokens_after_step)


def test_a_large_budget_takes_every_row_once_per_epoch() -> None:
    plan = plan_training(rows_of([5, 9, 7] * 11), preset_of(epochs=2, max_tokens=10**6))

    assert sorted(plan.order) == sorted([*range(33), *range(33)])
    assert plan.unused_rows == 0


def test_a_small_budget_shows_every_group_before_any_group_twice() -> None:
    rows = rows_of([10] * 40, groups=8)
    plan = plan_training(rows, preset_of(max_tokens=80, micro_batch=2))

    assert sorted(rows[index].group for index in plan.order) == [f"group-{k}" for k in range(8)]


def test_batches_hold_rows_of_similar_length() -> None:
    sizes = [k % 50 + 2 for k in range(400)]
    plan = plan_training(rows_of(sizes), preset_of(micro_batch=4, max_tokens=10**6))

    assert plan.padding / plan.tokens < 0.05


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    rows = rows_of(list(range(2, 60)))

    assert plan_training(rows, preset_of()) == plan_training(rows, preset_of())
    assert plan_training(rows, preset_of()).order != plan_training(rows, preset_of(seed=1)).order


def test_no_rows_at_all_is_an_error_with_its_mend() -> None:
    with pytest.raises(QiPipelineError, match="raise max_length"):
        plan_training([], preset_of())


def test_validation_takes_at_least_one_row_and_respects_its_budget() -> None:
    rows = rows_of([50] * 10)

    assert len(choose_validation(rows, preset_of(max_validation_tokens=10))) == 1
    assert len(choose_validation(rows, preset_of(max_validation_tokens=170))) == 3
