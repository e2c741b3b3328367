"""Splits by group: nothing related on both sides, near the wanted size, in any order."""

import random
from collections import defaultdict

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qi_pipeline.datasets.splits import Assignment, SplitItem, assign_splits
from qi_pipeline.errors import QiPipelineError


@st.composite
def related_items(draw: st.DrawFn) -> list[SplitItem]:
    count = draw(st.integers(2, 25))
    return [
        SplitItem(
            id=f"{number:02}",
            source_file=f"file{draw(st.integers(0, 4))}",
            container=f"section{draw(st.integers(0, 3))}",
            duplicate_cluster=f"{draw(st.integers(0, number)):02}",
            type=draw(st.sampled_from(["a", "b", "c"])),
            samples=draw(st.integers(1, 4)),
        )
        for number in range(count)
    ]


def split(items: list[SplitItem], fraction: float = 0.1, seed: int = 42) -> dict[str, Assignment]:
    return assign_splits(items, validation_fraction=fraction, seed=seed)


def sizes(items: list[SplitItem], assignments: dict[str, Assignment]) -> dict[str, int]:
    counts = {"train": 0, "validation": 0}
    for item in items:
        counts[assignments[item.id].split] += item.samples
    return counts


@settings(deadline=None)
@given(related_items(), st.sampled_from([0.05, 0.1, 0.3, 0.5]), st.integers(0, 5))
def test_no_group_and_no_near_duplicates_are_on_both_sides(
    items: list[SplitItem], fraction: float, seed: int
) -> None:
    assume(len({item.duplicate_cluster for item in items}) > 1)
    assignments = split(items, fraction, seed)
    sides = defaultdict(set)
    for item in items:
        assignment = assignments[item.id]
        sides["group", assignment.group].add(assignment.split)
        sides["cluster", item.duplicate_cluster].add(assignment.split)
    assert all(len(side) == 1 for side in sides.values())
    assert all(sizes(items, assignments).values())


@settings(deadline=None)
@given(related_items(), st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(
    items: list[SplitItem], generator: random.Random
) -> None:
    assume(len({item.duplicate_cluster for item in items}) > 1)
    shuffled = list(items)
    generator.shuffle(shuffled)
    assert split(shuffled) == split(items)


def make_items(count: int, files: int, types: int = 8) -> list[SplitItem]:
    return [
        SplitItem(
            id=f"{number:04}",
            source_file=f"file{number % files}",
            container=f"function{number}",
            duplicate_cluster=f"{number:04}",
            type=f"type{number % types}",
            samples=4,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(("count", "files"), [(400, 400), (400, 40), (60, 20), (100, 1), (90, 3)])
def test_about_a_tenth_is_held_out(count: int, files: int) -> None:
    items = make_items(count, files)
    held_out = sizes(items, split(items))["validation"] / (4 * count)
    assert 0.05 <= held_out <= 0.15


def test_small_files_stay_whole() -> None:
    items = make_items(400, 40)
    assignments = split(items)
    by_file = defaultdict(set)
    for item in items:
        by_file[item.source_file].add(assignments[item.id].split)
    assert all(len(sides) == 1 for sides in by_file.values())


def test_every_type_is_held_out_in_proportion() -> None:
    items = make_items(400, 400)
    assignments = split(items)
    counts: defaultdict[str, int] = defaultdict(int)
    for item in items:
        counts[item.type] += assignments[item.id].split == "validation"
    assert all(count == 5 for count in counts.values())


def test_one_file_that_holds_everything_is_broken_up_by_its_sections() -> None:
    items = [
        SplitItem(f"{number:02}", "tutorial.md", f"section{number // 4}", f"{number:02}", "a", 1)
        for number in range(40)
    ]
    assignments = split(items)
    sections = defaultdict(set)
    for item in items:
        sections[item.container].add(assignments[item.id].split)
    assert all(len(sides) == 1 for sides in sections.values())
    assert sizes(items, assignments) == {"train": 36, "validation": 4}


def test_two_patterns_are_enough_to_hold_one_out() -> None:
    items = make_items(2, 1)
    assert sizes(items, split(items)) == {"train": 4, "validation": 4}


def test_nothing_is_held_out_from_one_cluster_and_the_reader_is_told() -> None:
    items = [SplitItem(f"{n}", f"file{n}", "c", "0", "a", 4) for n in range(5)]
    with pytest.raises(QiPipelineError, match="all 5 kept patterns are near-duplicates"):
        split(items)


def test_patterns_without_samples_cannot_be_the_validation_set() -> None:
    items = [*make_items(2, 2), SplitItem("9", "f9", "c", "9", "a", 0)]
    assert split(items)["9"].split == "train"


@pytest.mark.parametrize("fraction", [0, -0.1, 0.6])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(QiPipelineError, match="validation_fraction is"):
        split(make_items(4, 4), fraction)


def test_the_seed_decides_between_equal_choices() -> None:
    items = make_items(100, 100)
    assert split(items, seed=1) != split(items, seed=2)
