"""Complete, fix, explain, test: what each kind shows, asks and answers."""

import pytest

from qi_pipeline.datasets.completions import completion_sample
from qi_pipeline.datasets.explanations import explanation_sample
from qi_pipeline.datasets.fixes import imports_sample, pair_sample
from qi_pipeline.datasets.leaks import leaked_run
from qi_pipeline.datasets.reference import Reference, read_reference
from qi_pipeline.datasets.samples import Sample
from qi_pipeline.datasets.unit_tests import is_test_case, unit_test_samples
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline_tests.datasets.conftest import build_pair, build_row

PROFILE = load_profile()
IMPORT = 'import { failure, success, validationError, type Result } from "@qi/base";\n'
DOCS = {
    "@qi/base:success": "Wraps a value that was computed",
    "@qi/base:validationError": "Blames the input of the caller",
}
REFERENCE = Reference(
    docs=DOCS, units={("lib/base/src/index.ts", "load"): "@qi/base:load"}, prose={}
)


def pattern(code: str, **changes: object) -> Pattern:
    return build_row(1, implementation=IMPORT + code, **changes).pattern


def completed(code: str, container: str = "f") -> Sample | None:
    return completion_sample(pattern(code, container=container), PROFILE)


def test_a_completion_shows_all_but_the_body_and_answers_with_the_whole() -> None:
    code = """
/** Doubles. */
const twice = (n: number) => n * 2;

/** Checks a number. */
export function f(n: number): Result<number> {
  if (n < 0) return failure(validationError("Negative"));
  return success(twice(n));
}
"""
    sample = completed(code)
    assert sample is not None
    assert "`f`" in sample.instruction
    assert sample.answer == (IMPORT + code).strip("\n")
    assert "Negative" not in sample.given
    for kept in (IMPORT.strip(), "n * 2", "/** Checks a number. */", "f(n: number)", "TODO"):
        assert kept in sample.given
    before, _, after = sample.given.partition("{\n  // TODO: implement\n}")
    assert sample.answer.startswith(before.removeprefix("```typescript\n"))
    assert after == "\n```"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("export const f = (n: number) => success(n);", "f"),
        ("export const g = () => failure(success(1));\nexport const f = () => success(1);", "f"),
        ("export const h = () => failure(success(1));\nexport const g = () => success(1);", "h"),
        ("export class f { a() { success(1); } b() { failure(success(1)); } }", "f.b"),
        ("export const f = (n: number) => n;", None),
        ("export const f = (n: number) => { const a = n; return a; };", None),
        ("export const f = () => { return success; };", None),
        ("export const f = success(1);", None),
        ("export const f = (x: Result<number>) => x;", None),
    ],
)
def test_only_a_body_that_uses_the_library_is_asked_for(code: str, name: str | None) -> None:
    sample = completed(code)
    assert (sample is None) == (name is None)
    assert sample is None or f"`{name}`" in sample.instruction


def test_a_body_that_stands_in_the_module_twice_leaks() -> None:
    body = "{\n  const a = success(1);\n  return a;\n}"
    sample = completed(f"function g() {body}\nexport function f() {body}")
    assert sample is not None
    assert leaked_run(sample) is not None


def test_lost_imports_are_reported_in_the_order_of_use() -> None:
    code = (
        'import { z } from "zod";\n'
        "export const f = (n: number): Result<number> =>\n"
        '  n < 0 ? failure(validationError("Negative")) : success(n);\n'
    )
    sample = imports_sample(pattern(code), PROFILE)
    assert sample is not None
    assert sample.answer == (IMPORT + code).strip("\n")
    assert "@qi/base" not in sample.given
    assert 'import { z } from "zod";' in sample.given
    assert sample.given.endswith(
        "The compiler says:\n"
        "- Cannot find name 'Result'.\n"
        "- Cannot find name 'failure'.\n"
        "- Cannot find name 'validationError'.\n"
        "- Cannot find name 'success'."
    )
    assert "@qi/base" in sample.instruction


def test_modules_without_named_library_imports_have_none_to_lose() -> None:
    namespace = 'import * as qi from "@qi/base";\nexport const f = () => qi.success(1);'
    for code in (namespace, "export const f = 1;"):
        assert imports_sample(build_row(1, implementation=code).pattern, PROFILE) is None


def test_a_fix_pair_shows_what_was_and_what_the_checker_said() -> None:
    pair = build_pair(1)
    sample = pair_sample(pair, PROFILE)
    assert (sample.kind, sample.origin, sample.answer) == ("fix", pair.id, pair.after)
    assert pair.before in sample.given
    assert sample.given.endswith("The checker says:\n- line 1: uses any; name the type")
    assert leaked_run(sample) is None
    core = build_pair(3, after='import { MemoryCache } from "@qi/core";')
    assert "@qi/base" not in pair_sample(core, PROFILE).instruction
    unchanged = pair.model_copy(update={"after": pair.before})
    assert leaked_run(pair_sample(unchanged, PROFILE)) is not None


EXPLAINED = """
/** Accepts positive numbers only. Zero is refused too. */
export function f(n: number): Result<number> {
  if (n <= 0) {
    return failure(validationError("Not a positive number"));
  }
  return success(n);
}
"""


def test_an_explanation_is_made_of_what_people_wrote_and_of_messages_in_the_code() -> None:
    explained = pattern(EXPLAINED, container="f")
    sample = explanation_sample(explained, REFERENCE, PROFILE)
    assert sample is not None
    assert sample.answer == (
        "`f` accepts positive numbers only. Zero is refused too.\n\n"
        "Of the library it uses:\n\n"
        "- `success` from @qi/base: Wraps a value that was computed.\n"
        "- `validationError` from @qi/base: Blames the input of the caller.\n\n"
        "Errors it makes:\n\n"
        '- `validationError` with the message "Not a positive number" when `n <= 0` holds.'
    )
    assert "Accepts positive" not in sample.given
    assert "return success(n);" in sample.given
    assert leaked_run(sample) is None


def test_a_unit_is_not_explained_by_itself() -> None:
    docs = {**DOCS, "@qi/base:success": "Accepts positive numbers only"}
    sample = explanation_sample(pattern(EXPLAINED, container="f"), Reference(docs, {}, {}), PROFILE)
    assert sample is not None
    assert "- `success`" not in sample.answer


def test_a_condition_is_named_only_where_it_surely_holds() -> None:
    code = EXPLAINED.replace("if (n <= 0) {", "if (n > 0) return success(n); else {")
    sample = explanation_sample(pattern(code, container="f"), REFERENCE, PROFILE)
    assert sample is not None
    assert sample.answer.endswith('- `validationError` with the message "Not a positive number".')


@pytest.mark.parametrize(
    ("comment", "docs"),
    [
        ("", DOCS),
        ("/** Makes it work. */", {}),
        ("/** Wraps a value that was computed. */", {"@qi/base:success": "Wraps computed values"}),
    ],
)
def test_nothing_is_explained_without_two_sentences_that_say_something(
    comment: str, docs: dict[str, str]
) -> None:
    silent = pattern(f"{comment}\nexport const f = () => success(1);", container="f")
    assert explanation_sample(silent, Reference(docs, {}, {}), PROFILE) is None


def test_a_document_is_explained_by_the_paragraph_before_its_code(
    snapshot: Snapshot, profile: Profile
) -> None:
    block = build_row(
        1,
        source_kind="tutorial",
        source_file="docs/tutorial/guide.md",
        container="Guide > Orders",
        line_range=(9, 9),
        implementation=IMPORT + "const order = success({ total: 1 });",
    ).pattern
    reference = read_reference(snapshot, profile, [block])
    assert reference.docs["@qi/base:success"] == "Wraps a value that was computed"
    assert "@qi/base:undocumented" not in reference.docs
    assert reference.units["lib/base/src/index.ts", "undocumented"] == "@qi/base:undocumented"
    sample = explanation_sample(block, reference, profile)
    assert sample is not None
    assert sample.answer.startswith(
        "Orders are refused early. A refused order never reaches the shop.\n\n"
    )


UNIT = build_row(
    1, source_kind="implementation", container="load", source_file="lib/base/src/index.ts"
).pattern
CASE = """\
describe("load", () => {
  it("fails softly", () => {
    expect(load()).toBe(1);
  });
});"""


def make_case(**changes: object) -> Pattern:
    fields: dict[str, object] = {
        "source_kind": "test",
        "container": "load > fails softly",
        "implementation": CASE,
        "symbols": ("@qi/base:load", "@qi/base:success"),
    }
    return build_row(2, **{**fields, **changes}).pattern


def test_a_test_is_asked_for_with_the_unit_it_reaches() -> None:
    (sample,) = unit_test_samples([UNIT, make_case()], REFERENCE)
    assert (sample.kind, sample.origin, sample.shown) == ("test", f"{2:016x}", UNIT.id)
    assert "fails softly" in sample.instruction
    assert "`load`" in sample.instruction
    assert UNIT.implementation.strip() in sample.given
    assert sample.answer == CASE
    assert leaked_run(sample) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"symbols": ("@qi/base:success",)},
        {"container": "orders > fails softly"},
        {"implementation": "export const helper = () => load();"},
        {"source_kind": "app"},
    ],
)
def test_a_test_that_names_no_unit_is_not_asked_for(changes: dict[str, object]) -> None:
    assert unit_test_samples([UNIT, make_case(**changes)], REFERENCE) == []


def test_helpers_beside_tests_are_no_test_cases() -> None:
    assert is_test_case(make_case())
    assert not is_test_case(make_case(implementation="export const helper = () => load();"))
