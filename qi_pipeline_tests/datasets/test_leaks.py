"""The measure that says whether a question shows its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.datasets.interface import withheld_code
from qi_pipeline.datasets.leaks import LONG_RUN, SHORT_RUN, leaked_run, run_length
from qi_pipeline.datasets.samples import Sample

LONG_BODY = " ".join(f"name{number}" for number in range(40))


def sample(instruction: str, *withheld: str, given: str = "", stated: str = "") -> Sample:
    return Sample(
        *("1-own", "1", "write", "own"),
        instruction,
        "",
        given,
        withheld,
        (stated,) if stated else (),
    )


@given(st.integers(0, 40), st.integers(0, 40))
def test_thirteen_tokens_of_a_long_body_are_a_leak_and_twelve_are_not(
    start: int, size: int
) -> None:
    shown = " ".join(LONG_BODY.split()[start : start + size])
    leaked = leaked_run(sample(f"Write it with {shown} please", LONG_BODY))
    assert (leaked is not None) == (len(shown.split()) >= LONG_RUN)
    assert leaked is None or leaked in shown


@pytest.mark.parametrize(
    ("tokens", "length"), [(0, SHORT_RUN), (10, 5), (12, 6), (25, 12), (26, 13), (500, LONG_RUN)]
)
def test_short_bodies_leak_sooner(tokens: int, length: int) -> None:
    assert run_length(tokens) == length


def test_five_tokens_of_a_short_body_are_a_leak() -> None:
    assert leaked_run(sample("Use flatMap(fn, result) here.", "flatMap(fn, result)")) is not None
    assert leaked_run(sample("Use flatMap(fn here.", "flatMap(fn, result)")) is None


def test_white_space_and_comments_do_not_hide_a_leak() -> None:
    assert leaked_run(sample("flatMap (fn ,\n result )", "flatMap(fn, result)")) is not None


def test_signatures_may_be_stated_and_other_code_may_not() -> None:
    signature = "f(a: number, b: number): Result<number>"
    body = f"const inner = (a: number, b: number): Result<number> => {LONG_BODY}"
    question = f"Write `{signature}`."
    assert leaked_run(sample(question, body, stated=f"`{signature}`")) is None
    assert leaked_run(sample(question, f"{{ {signature} }}")) is not None


def test_names_around_a_signature_do_not_join_into_a_run() -> None:
    question = "Use `name0`, `name1`, `name2`, `name3`, `name4` and `name5`."
    assert leaked_run(sample(question, ", ".join(f"name{n}" for n in range(6)))) is None


def test_given_code_may_overlap_with_the_answer_but_not_hold_it() -> None:
    assert leaked_run(sample("Do.", LONG_BODY, given=LONG_BODY[:-7])) is None
    assert leaked_run(sample("Do.", LONG_BODY, given=f"x {LONG_BODY} y")) is not None


@pytest.mark.parametrize(
    ("code", "withheld"),
    [
        ('import { a } from "b";\ninterface I { a: 1 }\ntype T = 1;', ()),
        ("export function f(a: number) { return g(() => a); }", ("{ return g(() => a); }",)),
        ("export const f = (a: number) => a + 1;", ("a + 1",)),
        ("export const limits = { retries: 3 };", ("{ retries: 3 }",)),
        ("const f = curry((a) => a, (b) => b);", ("a", "b")),
        ("class C { n = 1; m() { return 2; } }", ("1", "{ return 2; }")),
        ("run(1);", ("run(1);",)),
        ('describe("t", () => { it("u", () => { go(); }); });', ("{ go(); }",)),
    ],
)
def test_bodies_and_values_are_withheld_and_types_and_titles_are_not(
    code: str, withheld: tuple[str, ...]
) -> None:
    assert withheld_code(code) == withheld
