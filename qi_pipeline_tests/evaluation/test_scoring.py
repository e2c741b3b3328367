import math

import pytest
import sacrebleu

from qi_pipeline.evaluation.records import TaskScore, TestResult
from qi_pipeline.evaluation.scoring import (
    corpus_bleu,
    describe_failure,
    exported_values,
    score_answer,
)
from qi_pipeline.extraction.syntax import parse_module
from qi_pipeline.validation.verdict import Diagnostic, RuleViolation, Verdict
from qi_pipeline_tests.evaluation.samples import GOOD, NOT_ADHERING, make_task, verdict_of

CLEAN = verdict_of(GOOD)
PAYLOAD = ("value", "error")
PASSED = TestResult(status="passed", assertions=3, failures=(), seconds=0.1)
FAILED = TestResult(status="failed", assertions=3, failures=("1 !== 2\n  at f",), seconds=0.1)


def score(
    code: str, verdict: Verdict = CLEAN, test: TestResult = PASSED, **changes: object
) -> TaskScore:
    return score_answer(make_task(changes=changes), code, verdict, test, PAYLOAD)


def test_the_reference_passes_with_full_bleu_and_chrf() -> None:
    result = score(GOOD)
    assert result.passes
    assert result.bleu == pytest.approx(100)
    assert result.chrf == pytest.approx(100)
    assert result.lines == 4


def test_a_compiler_error_costs_the_compile_score_only() -> None:
    verdict = CLEAN.model_copy(update={"compiles": False})
    result = score(GOOD, verdict)
    assert (result.compiles, result.adheres, result.passes) == (False, True, False)


def test_a_broken_rule_costs_adherence_only() -> None:
    result = score(NOT_ADHERING, verdict_of(NOT_ADHERING))
    assert (result.compiles, result.adheres, result.passes) == (True, False, False)
    assert result.rules == ("R12",)


def test_an_empty_module_that_compiles_does_not_count_as_compiling() -> None:
    empty = Verdict(compiles=True, diagnostics=(), rules=(), symbols=())
    result = score("", empty)
    assert not result.compiles
    assert not result.exports_entry_point


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("R7", "no_throw"),
        ("R1", "no_tag_access"),
        ("R2", "no_result_property_access"),
        ("R12", "no_any"),
    ],
)
def test_a_rule_that_is_also_a_prohibition_is_read_from_the_verdict(rule: str, name: str) -> None:
    verdict = CLEAN.model_copy(update={"rules": (RuleViolation(id=rule, line=1, message="m"),)})
    assert score(GOOD, verdict).forbidden == (name,)
    assert score(GOOD, verdict, forbidden=()).forbidden == ()


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("export const f = () => { try { g(); } finally { h(); } };", ("no_try_catch",)),
        ("export const f = () => { return null; };", ("no_null_return",)),
        ("export const f = () => null;", ("no_null_return",)),
        ("export const f = () => (null as string | null);", ("no_null_return",)),
        ("export const f = (a: boolean) => { return a ? 1 : null; };", ("no_null_return",)),
        ("export const f = (a?: number) => a ?? null;", ("no_null_return",)),
        ("export const f = (a: unknown) => a === null;", ()),
        ("export const f = (a: unknown) => { return g(null); };", ()),
        ("export const f = () => { const a = null; return g(a); };", ()),
        ('export const f = "try { return null; }";', ()),
    ],
)
def test_prohibitions_without_a_rule_are_read_from_the_syntax(
    statement: str, forbidden: tuple[str, ...]
) -> None:
    result = score(f"{GOOD}{statement}\n")
    assert result.forbidden == forbidden
    assert result.adheres == (not forbidden)


def test_required_api_is_compared_by_name_whatever_the_package() -> None:
    demands = {"all": ["success", "MemoryCache"], "any": ["Err", "fromMaybe"]}
    assert score(GOOD, required_api=demands).missing_api == ("MemoryCache", "Err or fromMaybe")
    used = ("@qi/base:Err", "@qi/core:MemoryCache", "@qi/other:success")
    verdict = CLEAN.model_copy(update={"symbols": used})
    assert score(GOOD, verdict, required_api=demands).adheres


@pytest.mark.parametrize(
    ("code", "exported"),
    [
        ("export const a = 1, b = 2;", {"a", "b"}),
        ("export async function a() {}", {"a"}),
        ("export abstract class A {}", {"A"}),
        ("export enum A { B }", {"A"}),
        ("const a = 1; export { a, a as b };", {"a", "b"}),
        ("export interface A {}\nexport type B = A;", set()),
        ("type A = 1; export type { A };", set()),
        ("type A = 1; export { type A };", set()),
        ("export default function a() {}", set()),
        ("export declare function a(): void;", set()),
        ("export function a(): void;", set()),
        ("export function a(): void;\nexport function a() {}", {"a"}),
        ("const a = 1; function b() {}", set()),
    ],
)
def test_exported_values_are_what_another_module_could_call(code: str, exported: set[str]) -> None:
    assert exported_values(parse_module(code)) == exported


def test_code_that_does_not_parse_does_not_adhere() -> None:
    result = score(GOOD + "export const x = (;\n")
    assert not result.parses
    assert not result.adheres


@pytest.mark.parametrize("code", [0, 1005])
def test_a_module_whose_rules_were_never_looked_at_does_not_adhere(code: int) -> None:
    refused = Verdict(
        compiles=False,
        diagnostics=(Diagnostic(code=code, line=1, column=1, message="@ts-nocheck"),),
        rules=(),
        symbols=(),
    )
    unjudged = score(GOOD, refused, required_api={}, forbidden=())
    assert (unjudged.judged, unjudged.adheres) == (False, False)
    judged = refused.model_copy(update={"symbols": ("@qi/base:success",)})
    assert score(GOOD, judged, required_api={}, forbidden=()).adheres


def test_failed_tests_cost_the_tests_alone() -> None:
    result = score(GOOD, CLEAN, FAILED)
    assert (result.compiles, result.adheres, result.tests_passed) == (True, True, False)
    assert not result.passes


def test_what_does_not_exist_is_taken_from_the_verdict() -> None:
    made_up = Diagnostic(code=2307, line=1, column=1, message="Cannot find module 'no-such'.")
    verdict = CLEAN.model_copy(update={"compiles": False, "diagnostics": (made_up,)})
    assert score(GOOD, verdict).hallucinated == ("no-such",)


def test_lines_are_those_with_code() -> None:
    assert score("// a\n\nconst a = 1; // b\n/* c\n d */\nconst t = `x\n\ny`;\n").lines == 4


def test_bleu_ignores_whitespace_and_equals_sacrebleu() -> None:
    shuffled = GOOD.replace("slot > 0", "slot >= 1").replace("\n", "\n\n")
    one, two = score(shuffled), score("export const shelfSlot = 1;\n")
    normalized = [" ".join(text.split()) for text in (shuffled, "export const shelfSlot = 1;")]
    reference = " ".join(GOOD.split())
    expected = sacrebleu.corpus_bleu(normalized, [[reference, reference]], force=True).score
    assert corpus_bleu([one, two]) == pytest.approx(expected)
    sentence = sacrebleu.sentence_bleu(normalized[0], [reference]).score
    assert one.bleu == pytest.approx(sentence)
    assert score(shuffled.replace("\n\n", "\n")).bleu == one.bleu


def test_bleu_of_nothing_is_not_a_number() -> None:
    assert math.isnan(corpus_bleu([]))
    assert score("", CLEAN).bleu == 0


def test_a_passing_answer_has_no_failure_to_describe() -> None:
    assert describe_failure(score(GOOD), CLEAN, PASSED) == ""


def test_a_failure_is_described_with_the_first_words_of_its_tests() -> None:
    verdict = verdict_of(NOT_ADHERING)
    described = describe_failure(score(NOT_ADHERING, verdict, FAILED), verdict, FAILED)
    assert described == "breaks R12; violates no_any; tests failed: 1 !== 2 at f"
