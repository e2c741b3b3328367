"""Which of the compiler's messages say that something does not exist."""

import pytest

from qi_pipeline.evaluation.hallucinations import hallucinated_symbols
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.verdict import Diagnostic, Verdict

PAYLOAD = ("value", "error")


def verdict(code: int, message: str, times: int = 1) -> Verdict:
    diagnostic = Diagnostic(code=code, line=1, column=1, message=message)
    return Verdict(compiles=False, diagnostics=(diagnostic,) * times, rules=(), symbols=())


@pytest.mark.parametrize(
    ("code", "message", "symbol"),
    [
        (2307, "Cannot find module 'neverthrow' or its corresponding types.", "neverthrow"),
        (2305, """Module '"@qi/base"' has no exported member 'ok'.""", "@qi/base:ok"),
        (
            2724,
            """'"@qi/base"' has no exported member named 'sucess'. Did you mean 'success'?""",
            "@qi/base:sucess",
        ),
        (1192, """Module '"@qi/core"' has no default export.""", "@qi/core:default"),
        (2339, "Property 'map' does not exist on type 'Result<number>'.", "Result<number>.map"),
        (
            2551,
            "Property 'trimm' does not exist on type 'string'. Did you mean 'trim'?",
            "string.trimm",
        ),
        (2694, "Namespace 'Intl' has no exported member 'Clock'.", "Intl.Clock"),
    ],
)
def test_what_does_not_exist_is_named(code: int, message: str, symbol: str) -> None:
    assert hallucinated_symbols(verdict(code, message), PAYLOAD) == (symbol,)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (2304, "Cannot find name 'total'."),
        (2345, "Argument of type 'string' is not assignable to parameter of type 'number'."),
        (7006, "Parameter 'x' implicitly has an 'any' type."),
    ],
)
def test_other_mistakes_are_no_inventions(code: int, message: str) -> None:
    assert hallucinated_symbols(verdict(code, message), PAYLOAD) == ()


def test_a_symbol_counts_once_and_only_the_first_line_is_read() -> None:
    message = "Property 'a' does not exist on type 'T'.\n  Property 'b' does not exist on type 'U'."
    assert hallucinated_symbols(verdict(2339, message, times=2), PAYLOAD) == ("T.a",)


def test_what_only_one_variant_of_a_result_has_does_exist(checker: Checker) -> None:
    code = """import type { Result } from "@qi/base";
export const read = (r: Result<number>): number => r.value + r.isOk;
export const other = (box: { size: number }): number => box.value;
"""
    found = checker.check_module(code)
    assert not found.compiles
    assert hallucinated_symbols(found, checker.profile.conventions.payload_members) == (
        "Result<number>.isOk",
        "{ size: number; }.value",
    )
