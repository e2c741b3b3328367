"""Samples of every kind: deterministic, without the body, never ambiguous."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline.datasets.interface import read_interface
from qi_pipeline.datasets.leaks import leaked_run
from qi_pipeline.datasets.phrasings import PHRASINGS
from qi_pipeline.datasets.samples import Sample
from qi_pipeline.datasets.synthesis import Synthesis, synthesize_samples
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import load_profile
from qi_pipeline_tests.datasets.conftest import NO_REFERENCE, build_pair, build_row

PROFILE = load_profile()


def synthesized(patterns: Sequence[Pattern], max_phrasings: int = len(PHRASINGS)) -> Synthesis:
    return synthesize_samples(patterns, PROFILE, NO_REFERENCE, max_phrasings=max_phrasings)


def written(patterns: Sequence[Pattern], max_phrasings: int = len(PHRASINGS)) -> list[Sample]:
    samples = synthesized(patterns, max_phrasings).samples
    return [sample for sample in samples if sample.kind == "write"]


def instructions_of(patterns: Sequence[Pattern]) -> list[str]:
    return [sample.instruction for sample in written(patterns)]


def test_a_function_is_asked_for_in_four_ways() -> None:
    samples = written([build_row(5).pattern])
    by_phrasing = {sample.phrasing: sample.instruction for sample in samples}
    assert list(by_phrasing) == list(PHRASINGS)
    assert by_phrasing["own"] == "Using @qi/base, write `checkOrder5`: checks order 5."
    assert "`checkOrder5(order: Order5): Result<Order5>`" in by_phrasing["signature"]
    assert "`interface Order5 { id: string; total: number }`" in by_phrasing["signature"]
    assert by_phrasing["signature"].endswith(
        "It checks order number 5 and fails when its total is negative."
    )
    assert by_phrasing["short"] == (
        "I need a function that checks order number 5 and fails when its total is negative. "
        "Call it `checkOrder5` and use @qi/base."
    )
    assert by_phrasing["named"] == (
        "Using `failure`, `success` and `validationError` from @qi/base, write "
        "`checkOrder5(order: Order5): Result<Order5>`. It checks order number 5 and fails when its "
        "total is negative."
    )
    assert {sample.answer for sample in samples} == {
        build_row(5).pattern.implementation.strip("\n")
    }


@pytest.mark.parametrize(
    ("doc", "name", "short"),
    [
        ("Load it all.", "loadAll", "Load it all with @qi/base. Call the function `loadAll`."),
        (
            "The way out of trouble.",
            "leave",
            "Build `leave` with @qi/base: the way out of trouble.",
        ),
        ("", "loadAllOrders", "Load all orders with @qi/base. Call the function `loadAllOrders`."),
        ("", "load", None),
    ],
)
def test_the_short_phrasing_follows_the_grammar_of_what_is_known(
    doc: str, name: str, short: str | None
) -> None:
    comment = f"/** {doc} */\n" if doc else ""
    code = f"{comment}export const {name} = (): number => 1;"
    samples = written([build_row(1, implementation=code).pattern])
    assert {s.phrasing: s.instruction for s in samples}.get("short") == short


def test_no_instruction_shows_a_line_of_the_body() -> None:
    for instruction in instructions_of([build_row(number).pattern for number in range(20)]):
        assert "Negative total" not in instruction
        assert "order.total" not in instruction
        assert "=>" not in instruction


def test_an_example_of_a_document_is_asked_for_by_its_signature_and_its_topic() -> None:
    row = build_row(
        1,
        source_kind="tutorial",
        instruction="Show how to use `map`.",
        implementation="export const mapExample = (a: number) => a;",
    )
    by_phrasing = {sample.phrasing: sample.instruction for sample in written([row.pattern])}
    assert by_phrasing["signature"].endswith("`mapExample(a: number)`. Show how to use `map`.") or (
        by_phrasing["signature"].endswith("with @qi/base. Show how to use `map`.")
    )
    assert "short" not in by_phrasing


def test_openings_vary_over_the_data_set() -> None:
    patterns = [build_row(number).pattern for number in range(40)]
    samples = written(patterns)
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
    assert synthesized(shuffled, max_phrasings) == synthesized(patterns, max_phrasings)


def test_the_number_of_phrasings_is_capped() -> None:
    samples = written([build_row(1).pattern], max_phrasings=2)
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
    synthesis = synthesized(patterns)
    asked = [" ".join(sample.prompt.split()).casefold() for sample in synthesis.samples]
    assert len(asked) == len(set(asked))
    full = sum(len(synthesized([pattern]).samples) for pattern in patterns)
    assert full == len(asked) + synthesis.ambiguous + synthesis.repeated


def test_one_question_over_all_kinds_never_has_two_answers() -> None:
    pairs = [build_pair(1), build_pair(2, before=build_pair(1).before, after="export const x = 1;")]
    # The request is picked by id; with one request only the code tells the two pairs apart.
    pairs += [build_pair(n, before=pairs[0].before, after=f"const y = {n};") for n in range(3, 9)]
    synthesis = synthesize_samples([], PROFILE, NO_REFERENCE, fix_pairs=pairs)
    prompts = {sample.prompt for sample in synthesis.samples}
    assert len(prompts) == len(synthesis.samples) < len(pairs)
    assert synthesis.ambiguous == len(pairs) - len(synthesis.samples)


def test_a_question_that_shows_its_answer_is_dropped_and_counted() -> None:
    body = 'order.total < 0 ? failure(validationError("Negative total of 1")) : success(order)'
    leaking = build_row(1, instruction=f"Write `checkOrder1` so: {body}").pattern
    synthesis = synthesized([leaking, build_row(2).pattern])
    assert synthesis.leaking == 1
    assert "own" not in {s.phrasing for s in synthesis.samples if s.origin == leaking.id}
    assert all(leaked_run(sample) is None for sample in synthesis.samples)


def test_equal_instructions_are_told_apart_by_their_signatures() -> None:
    first = build_row(1, instruction="Check an order.").pattern
    second = build_row(2, instruction="Check an order.").pattern
    synthesis = synthesized([first, second])
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
    synthesis = synthesized([weak, strong])
    answers = {s.answer for s in synthesis.samples if s.phrasing in ("own", "named")}
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
            "export function h(a: {\n  b?: number\n  c: string\n}) {}",
            ("`h(a: { b?: number; c: string })`",),
        ),
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
