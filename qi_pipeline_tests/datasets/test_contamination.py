"""Overlaps of samples with tasks: found where they are true, and nowhere else."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline.datasets import contamination
from qi_pipeline.datasets.contamination import (
    MOST_HOLDERS,
    OverlapRow,
    SampleText,
    TaskText,
    find_overlaps,
)
from qi_pipeline.recognition.duplicates import jaccard, shingles

REFERENCE = """\
import { failure, success, validationError } from "@qi/base";
import type { Result } from "@qi/base";

const LETTERS = /^[a-h][1-8]$/u;

/** Reads a square of the board. */
export const parseSquare = (text: string): Result<string> => {
  const square = text.trim().toLowerCase();
  return LETTERS.test(square)
    ? success(square)
    : failure(validationError(`Not a chess square: ${text}`));
};
"""
OTHER = """\
import { failure, success, validationError } from "@qi/base";
import type { Result } from "@qi/base";

export function admitVisitor(name: string, age: number): Result<{ name: string }> {
  if (age >= 18) {
    return success({ name });
  }
  return failure(validationError("Too young", { age }));
}
"""
PROMPT = (
    "I need a module on `@qi/base` that reads a square of the chess board from what a player "
    "typed. Spaces and capitals do not matter; anything else is a validation error."
)
ASKS_OTHERWISE = "Write `admitVisitor`, which lets adults in and turns away everybody else."


def task(prompt: str = PROMPT, code: str = REFERENCE, name: str = "chess") -> TaskText:
    return TaskText(name, prompt, code)


def sample(
    prompt: str = ASKS_OTHERWISE, code: str = OTHER, name: str = "sample", group: str | None = None
) -> SampleText:
    return SampleText(name, prompt, code, group or name)


def only(tasks: Sequence[TaskText], samples: Sequence[SampleText]) -> OverlapRow:
    (row,) = find_overlaps(tasks, samples)
    return row


def test_unrelated_texts_do_not_overlap() -> None:
    assert find_overlaps([task()], [sample()]) == ()
    assert find_overlaps([], [sample()]) == ()
    assert find_overlaps([task()], []) == ()


def test_a_copied_answer_is_found_whatever_its_comments_and_imports() -> None:
    copied = REFERENCE.split("\n\n", 1)[1].replace("/** Reads a square of the board. */", "// x")
    row = only([task()], [sample(code=f'import * as qi from "@qi/base";\n{copied}')])
    assert (row.task_id, row.sample, row.jaccard) == ("chess", "sample", 1.0)
    assert row.shared.startswith("const letters a h 1 8")


def test_an_answer_with_other_names_in_places_is_a_near_duplicate() -> None:
    changed = REFERENCE.replace("LETTERS", "BOARD")
    row = only([task()], [sample(code=changed)])
    assert row.jaccard == pytest.approx(jaccard(shingles(REFERENCE), shingles(changed)))
    assert 0.7 <= row.jaccard < 1


def test_thirteen_words_of_a_long_answer_are_enough_and_twelve_are_not() -> None:
    long = "\n".join(f"export const step{n} = (x{n}: number) => x{n} + {n};" for n in range(60))
    line = "const square = text.trim().toLowerCase(); return LETTERS.test(square) ? success(square)"
    row = only([task()], [sample(code=f"{long}\n{line} : failure(validationError());")])
    words = "const square text trim tolowercase return letters test square success square failure"
    assert row.shared == f"{words} validationerror"
    assert row.jaccard < 0.1
    assert find_overlaps([task()], [sample(code=f"{long}\n{line} : failure(createError());")]) == ()


def test_a_signature_in_common_is_no_overlap() -> None:
    signature = "(settings: Record<string, unknown>): Result<string[]> => {"
    bodies = ("return first(settings).map(String);", "const all = settings; return all;")
    asked, taught = (f"export const f{n} = {signature} {one} }};" for n, one in enumerate(bodies))
    assert find_overlaps([task(code=asked)], [sample(code=taught)]) == ()


def test_a_copied_prompt_is_found_whatever_its_case_and_marks() -> None:
    row = only([task()], [sample(prompt=PROMPT.upper().replace("`", "").replace(".", " -"))])
    assert row.jaccard == 1
    assert row.shared.startswith("i need a module on qi base that reads a square")


def test_a_sample_that_shows_the_reference_in_its_question_is_found() -> None:
    shown = f"Mend this module:\n\n```typescript\n{REFERENCE}```\n\nThe compiler says TS2304."
    row = only([task()], [sample(prompt=shown)])
    assert row.jaccard == 1
    assert row.shared


def test_a_fence_that_never_closes_still_holds_code() -> None:
    assert only([task()], [sample(prompt=f"Mend:\n````ts\n{REFERENCE}")]).jaccard == 1


def test_a_reference_shown_without_a_fence_is_found() -> None:
    assert only([task()], [sample(prompt=f"Mend this: {REFERENCE}")]).shared


def test_code_does_not_make_two_questions_alike_or_unlike() -> None:
    """The prose around a block is compared by itself."""
    shown = f"{PROMPT}\n```typescript\n{OTHER * 5}```\n"
    assert only([task()], [sample(prompt=shown)]).jaccard == 1


def test_code_that_a_task_shows_is_compared_as_well() -> None:
    shown = f"Change this:\n```typescript\n{REFERENCE}```\n"
    assert only([task(prompt=shown, code="export {};")], [sample(code=REFERENCE)]).jaccard == 1


def test_import_lines_alone_are_no_overlap() -> None:
    names = ", ".join(f"name{n}" for n in range(30))
    line = f'import {{ {names} }} from "@qi/base";\n'
    assert find_overlaps([task(code=line + REFERENCE)], [sample(code=line + OTHER)]) == ()


def test_apostrophes_and_fences_do_not_swallow_prose() -> None:
    prompt = f"Don't stop at the player's first word. {PROMPT} It's due today."
    assert only([task()], [sample(prompt=prompt)]).shared


PHRASE = "Answer with one complete TypeScript module that compiles and keeps the conventions here"


def holders(number: int, groups: int) -> list[SampleText]:
    return [
        sample(f"Topic{n} is{n} new{n}. {PHRASE}", name=f"s{n}", group=f"group{n % groups}")
        for n in range(number)
    ]


def test_a_phrase_that_many_hold_is_no_evidence() -> None:
    tasks = [task(f"{PROMPT} {PHRASE}")]
    # The task is a holder too.
    assert len(find_overlaps(tasks, holders(MOST_HOLDERS - 1, MOST_HOLDERS - 1))) == 9
    assert find_overlaps(tasks, holders(MOST_HOLDERS, MOST_HOLDERS)) == ()


def test_samples_of_one_group_are_one_holder() -> None:
    assert len(find_overlaps([task(f"{PROMPT} {PHRASE}")], holders(40, 3))) == 40


def test_tasks_count_as_holders() -> None:
    tasks = [task(f"Job{n} x{n} y{n}. {PHRASE}", name=f"t{n}") for n in range(MOST_HOLDERS)]
    assert find_overlaps(tasks, holders(1, 1)) == ()
    assert len(find_overlaps(tasks[1:], holders(1, 1))) == MOST_HOLDERS - 1


def test_seven_tenths_of_the_shingles_are_near_and_less_is_not() -> None:
    # 7 of 10 shingles are shared: 11 tokens make 7, and 3 more tokens 3 of one side.
    start = "a b c d e f g h i j k"
    row = only([task(code=start)], [sample(code=f"{start} x y z")])
    assert (row.jaccard, row.shared) == (0.7, "")
    assert find_overlaps([task(code=start)], [sample(code=f"{start} x y z w")]) == ()
    # 9 of 13, the next below: marks count as tokens.
    start = "a . b . c . d . e . f . g"
    assert find_overlaps([task(code=start)], [sample(code=f"{start} x y z w")]) == ()


def test_the_larger_index_of_prose_and_code_is_given() -> None:
    near = REFERENCE.replace("LETTERS", "BOARD")
    for prompt, code in ((PROMPT, near), (f"{PROMPT} {ASKS_OTHERWISE[:20]}", REFERENCE)):
        assert only([task()], [sample(prompt=prompt, code=code)]).jaccard == 1


def test_every_sample_of_many_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contamination, "_BLOCK", 2)
    samples = [sample(code=f"{OTHER} const n = {n};", name=f"s{n}") for n in range(9)]
    samples[6] = sample(code=REFERENCE, name="s6")
    tasks = [task(), task(name="another", prompt="Else?", code="const z = 1;")]
    assert [(row.task_id, row.sample) for row in find_overlaps(tasks, samples)] == [("chess", "s6")]


def test_every_task_and_sample_that_holds_a_text_is_named() -> None:
    tasks = [task(name=name) for name in ("t1", "t2")]
    samples = [sample(code=REFERENCE, name=name) for name in ("s1", "s2")]
    rows = find_overlaps(tasks, samples)
    assert [(row.task_id, row.sample) for row in rows] == [
        ("t1", "s1"),
        ("t1", "s2"),
        ("t2", "s1"),
        ("t2", "s2"),
    ]


def test_a_whole_copy_is_found_however_many_hold_it() -> None:
    copies = [sample(code=REFERENCE, name=f"s{n}") for n in range(30)]
    rows = find_overlaps([task()], copies)
    assert len(rows) == 30
    assert {(row.jaccard, row.shared) for row in rows} == {(1.0, "")}


def test_texts_without_anything_to_say_are_no_overlap() -> None:
    assert find_overlaps([task(code="export {};")], [sample(code="export {};")]) == ()
    assert find_overlaps([task(code="")], [sample(code="")]) == ()
    assert find_overlaps([task(prompt="")], [sample(prompt="")]) == ()


WORDS = st.lists(st.sampled_from("abcdefg"), max_size=40).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), max_size=4), st.lists(st.tuples(WORDS, WORDS), max_size=6))
def test_rows_are_those_of_comparing_every_pair(
    task_texts: list[tuple[str, str]], sample_texts: list[tuple[str, str]]
) -> None:
    tasks = [task(*texts, name=f"t{n}") for n, texts in enumerate(task_texts)]
    samples = [sample(*texts, name=f"s{n}") for n, texts in enumerate(sample_texts)]
    rows = find_overlaps(tasks, samples)
    assert {(row.task_id, row.sample): row.jaccard for row in rows} == {
        (one.id, other.id): _index(one, other)
        for one in tasks
        for other in samples
        if _index(one, other) >= 0.7 or _share_a_run(one, other)
    }
    shuffled = random.Random(1).sample(samples, len(samples))  # noqa: S311
    assert find_overlaps(tasks[::-1], shuffled) == rows


def _runs(text: str, length: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[n : n + length]) for n in range(len(words) - length + 1)}


def _index(one: TaskText, other: SampleText) -> float:
    sides = ((one.prompt, other.prompt), (one.code, other.code))
    pairs = [(_runs(left, 5), _runs(right, 5)) for left, right in sides]
    return max(
        (len(left & right) / len(left | right) for left, right in pairs if left and right),
        default=0.0,
    )


def _share_a_run(one: TaskText, other: SampleText) -> bool:
    """Compare two texts of one-letter words; at most ten of the texts here hold any run."""
    asked = _runs(one.prompt, 13) | _runs(one.code, 13)
    return bool(asked & (_runs(other.prompt, 13) | _runs(other.code, 13)))
