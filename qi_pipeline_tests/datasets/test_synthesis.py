"""Phrasings of one answer: deterministic, without the body, never ambiguous."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline.datasets.synthesis import read_interface, synthesize_samples
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline_tests.datasets.conftest import build_row

PROFILE = load_profile()


def instructions_of(patterns: Sequence[Pattern]) -> list[str]:
    return [sample.instruction for sample in synthesize_samples(patterns, PROFILE).samples]


def test_a_function_is_asked_for_in_four_ways(profile: Profile) -> None:
    samples = synthesize_samples([build_row(5).pattern], profile).samples
    by_phrasing = {sample.phrasing: sample.instruction for sample in samples}
    assert list(by_phrasing) == ["own", "signature", "short", "named"]
    assert by_phrasing["own"] == "Using @qi/base, write `checkOrder5`: checks order 5."
    assert "`checkOrder5(order: Order5): Result<Order5>`" in by_phrasing["signature"]
    assert "`interface Order5 { id: string; total: number }`" in by_phrasing["signature"]
    assert by_phrasing["short"] == (
        "Checks order number 5 and fails when its total is negative. "
        "Export it as `checkOrder5` and use @qi/base."
    )
    assert by_phrasing["named"] == (
        "Checks order number 5 and fails when its total is negative. Write "
        "`checkOrder5(order: Order5): Result<Order5>` with `failure`, `success` and "
        "`validationError` from @qi/base."
    )
    assert {sample.implementation for sample in samples} == {
        build_row(5).pattern.implementation.strip("\n")
    }


def test_no_instruction_shows_a_line_of_the_body() -> None:
    for instruction in instructions_of([build_row(number).pattern for number in range(20)]):
        assert "Negative total" not in instruction
        assert "order.total" not in instruction
        assert "=>" not in instruction


def test_openings_vary_over_the_data_set() -> None:
    patterns = [build_row(number).pattern for number in range(40)]
    samples = synthesize_samples(patterns, PROFILE).samples
    openings = {s.instruction[:12] for s in samples if s.phrasing == "signature"}
    assert len(openings) >= 3


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_order_of_the_patterns_does_not_matter(
    generator: random.Random, max_phrasings: int
) -> None:
    patterns = [build_row(number, instruction=f"do {number % 3}").pattern for number in range(8)]
    shuffled = list(patterns)
    generator.shuffle(shuffled)
    expected = synthesize_samples(patterns, PROFILE, max_phrasings=max_phrasings)
    assert synthesize_samples(shuffled, PROFILE, max_phrasings=max_phrasings) == expected


def test_the_number_of_phrasings_is_capped() -> None:
    samples = synthesize_samples([build_row(1).pattern], PROFILE, max_phrasings=2).samples
    assert [sample.phrasing for sample in samples] == ["own", "signature"]


words = st.sampled_from(["Do it.", "do  IT.", "Do that."])
codes = st.sampled_from(
    [
        "export const f = (a: number): number => a;",
        "export const f = (a: number): number => -a;",
        "export const g = (a: string): string => a;",
        "const hidden = 1;",
    ]
)


@settings(deadline=None)
@given(st.lists(st.tuples(words, codes, st.booleans()), max_size=8))
def test_one_instruction_never_has_two_answers(rows: list[tuple[str, str, bool]]) -> None:
    patterns = [
        build_row(
            number, instruction=instruction, implementation=code, test_coverage=covered
        ).pattern
        for number, (instruction, code, covered) in enumerate(rows)
    ]
    full = sum(len(synthesize_samples([pattern], PROFILE).samples) for pattern in patterns)
    synthesis = synthesize_samples(patterns, PROFILE)
    asked = [" ".join(sample.instruction.split()).casefold() for sample in synthesis.samples]
    assert len(asked) == len(set(asked))
    assert full == len(asked) + synthesis.ambiguous + synthesis.repeated


def test_equal_instructions_are_told_apart_by_their_signatures() -> None:
    first = build_row(1, instruction="Check an order.").pattern
    second = build_row(2, instruction="Check an order.").pattern
    synthesis = synthesize_samples([first, second], PROFILE)
    own = [sample.instruction for sample in synthesis.samples if sample.phrasing == "own"]
    assert own == [
        "Check an order. Export `checkOrder1(order: Order1): Result<Order1>`.",
        "Check an order. Export `checkOrder2(order: Order2): Result<Order2>`.",
    ]
    assert synthesis.ambiguous == 0


def test_of_two_answers_that_nothing_tells_apart_the_tested_one_stays() -> None:
    code = "export const f = (a: number): number => "
    weak = build_row(1, instruction="Do.", implementation=f"{code}a;").pattern
    strong = build_row(
        2, instruction="Do.", implementation=f"{code}-a;", test_coverage=True
    ).pattern
    synthesis = synthesize_samples([weak, strong], PROFILE)
    answers = {s.implementation for s in synthesis.samples if s.phrasing in ("own", "named")}
    assert answers == {f"{code}-a;"}
    assert synthesis.ambiguous > 0


@pytest.mark.parametrize(
    ("code", "exports"),
    [
        (
            "export async function f<T>(\n  a: T,\n  b = 1,\n): Promise<T> { return a; }",
            ("`f<T>(a: T, b = 1): Promise<T>`",),
        ),
        ("export const g: (a: number) => string = (a) => `${a}`;", ("`g: (a: number) => string`",)),
        ("export const limits = { retries: 3 };", ("the constant `limits`",)),
        (
            "export class Store {}\nexport interface Leg { km: number }",
            ("the class `Store`", "the interface `Leg`"),
        ),
        ("const hidden = () => 1;\nexport { hidden };", ()),
        ("export default () => 1;", ()),
        ("", ()),
        ("export const = ;", ()),
    ],
)
def test_exports_are_read_from_the_syntax_tree(code: str, exports: tuple[str, ...]) -> None:
    assert read_interface(code).exports == exports


def test_types_that_a_mentioned_type_names_are_told_too() -> None:
    code = (
        "type Id = string;\ninterface Item { id: Id /* key */ }\ninterface Other { a: 1 }\n"
        "export function load(): Item { return { id: '' }; }"
    )
    assert read_interface(code).types == ("type Id = string", "interface Item { id: Id }")


def test_a_module_without_exports_still_has_its_own_instruction() -> None:
    pattern = build_row(1, implementation="run();", symbols=(), instruction="Show it.").pattern
    assert instructions_of([pattern]) == ["Show it."]
    named = build_row(1, implementation="run();", instruction="Show it.").pattern
    assert instructions_of([named])[1] == "Show it. Use `failure`, `success` and `validationError`."
