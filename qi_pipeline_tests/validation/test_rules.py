# ruff: noqa: E501, RUF001 - TypeScript in tables reads best one case a line
import pytest

from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.verdict import Verdict

IMPORTS = """\
import * as base from "@qi/base";
import { create, createError, failure, fromTryCatch, isSuccess, map, match, success, unwrapOr } from "@qi/base";
import { ConfigBuilder } from "@qi/core";
import type { ErrorCategory, QiError, Result } from "@qi/base";
declare const r: Result<number>;
declare const e: QiError;
export const used = [base, create, createError, failure, fromTryCatch, isSuccess, map, match, success, unwrapOr,
  ConfigBuilder, r, e];
export type Used = ErrorCategory;
"""
FIRST_LINE = IMPORTS.count("\n") + 1


def verdict_on(checker: Checker, code: str) -> Verdict:
    return checker.check_module(IMPORTS + code)


VIOLATIONS = [
    ("R1", 'if (r.tag === "success") console.log(1);'),
    ("R1", 'export const a = r["tag"] === "failure" ? 1 : 2;'),
    ("R1", "export const a = r[`tag`];"),
    ("R1", "switch (r?.tag) { case 'success': break; }"),
    ("R1", "export const a = (success(1) as Result<number>).tag;"),
    ("R1", "export const a = map((x: number) => x, r).tag;"),
    ("R1", "export const a = (rs: Array<Readonly<Result<string>>>) => rs.map((x) => x.tag);"),
    ("R2", "export const a = isSuccess(r) ? r.value : 0;"),
    ("R2", 'export const a = isSuccess(r) ? r["value"] : 0;'),
    ("R2", "export const a = async (p: Promise<Result<number>>) => { const x = await p; return isSuccess(x) ? 0 : x.error; };"),
    ("R4", "export const a = r.map((x: number) => x);"),
    ("R4", "export const a = success(1).map((x: number) => x);"),
    ("R4", "export const a = (success(1) as Result<number>)\n  // a comment between\n  .flatMap((x: number) => x);"),
    ("R4", "export const a = map(r, (x: number) => x);"),
    ("R4", "export const double = (x: number) => x; export const a = map(r, double);"),
    ("R4", "export const a = unwrapOr(r, 0);"),
    ("R4", "export const a = base.map(r, (x: number) => x);"),
    ("R5", "export const a = match({ success: 1, failure: 2 }, r);"),
    ("R5", "export const a = base.match({ success: 1 } as never, r);"),
    ("R7", 'export function a() { throw new Error("x"); }'),
    ("R7", 'export const a = fromTryCatch(() => 1, () => { throw new Error("handler"); });'),
    ("R7", 'const fromMaybeThrow = (f: () => void) => f(); fromMaybeThrow(() => { throw new Error("x"); });'),
    ("R7", 'function unwrap(): number { throw new Error("x"); } export const a = () => unwrap();'),
    ("R9", 'export const a = create("A", "m", "PARSE");'),
    ("R9", 'export const a = create("A", "m", "PARSE" as never);'),
    ("R9", 'export const a = createError({ code: "A", message: "m", category: "PARSE" as never });'),
    ("R9", 'export const a = base.create("A", "m", `PARSE` as never);'),
    ("R12", "export const a = (x: any) => x;"),
    ("R12", "export const a: Record<string, any> = {};"),
    ("R12", "export const a = JSON.parse('1') as any;"),
]  # fmt: skip

LOOK_ALIKES = [
    "const logger = { error: (m: string) => m, value: 1, tag: 'x' }; logger.error('x'); export const a = [logger.value, logger.tag];",
    "interface Result2 { tag: 'success'; value: number } export const a = (x: Result2) => x.tag === 'success' && x.value;",
    "export const a = [1, 2].map((x) => x + 1).filter((x) => x > 1);",
    "export const a = ConfigBuilder.fromObject({}).map((d) => d).build();",
    "export const a = new Map([['value', 1]]).get('value'); export const b = Object.entries({ a: 1 }).map((entry) => entry[1]);",
    "export const a = e.message + e.code;",
    "export const a = map((x: number) => x + 1, r);",
    "const double = (x: number) => x * 2; export const a = map(double, r);",
    "export const a = unwrapOr(success(1), success(r));",
    "const ok = (x: number) => x; export const a = match(ok, () => 0, r);",
    "export const f = (map: (a: number, g: () => number) => number) => map(1, () => 2);",
    "export const f = (match: (h: object) => number) => match({ success: 1 });",
    'export const a = fromTryCatch(() => { throw new Error("x"); }, () => e);',
    'export const a = fromTryCatch(() => { const f = () => { throw new Error("x"); }; return f(); }, () => e);',
    'export function unwrap(): number { throw new Error("x"); }',
    'function unwrap(): number { throw new Error("x"); } export { unwrap };',
    'export const a = create("PARSE", "m", "VALIDATION");',
    'const create = (a: string, b: string, c: string) => a + b + c; { const create = (a: string, b: string, c: string) => a + b + c; create("a", "b", "PARSE"); } export { create as made };',
    "export const any = 1; export const a: string = 'any';  // any",
    "export const a = { tag: 'success', value: 1 } satisfies Result<number>;",
]  # fmt: skip


@pytest.mark.parametrize(("rule", "code"), VIOLATIONS)
def test_a_planted_violation_is_found_under_its_rule(
    checker: Checker, rule: str, code: str
) -> None:
    found = verdict_on(checker, code).rules
    assert [violation.id for violation in found] == [rule]
    assert found[0].line >= FIRST_LINE


@pytest.mark.parametrize("code", LOOK_ALIKES)
def test_a_look_alike_is_no_violation(checker: Checker, code: str) -> None:
    text = code if "const create" in code else IMPORTS + code
    assert checker.check_module(text).rules == ()


def test_a_method_that_nothing_has_is_a_type_error_and_no_violation(checker: Checker) -> None:
    verdict = verdict_on(checker, "const o = { a: 1 }; export const a = o.map(1), b = e.map(2);")
    assert [d.code for d in verdict.diagnostics] == [2339, 2339]
    assert verdict.rules == ()


def test_look_alikes_compile_so_that_the_checker_had_types_to_go_by(checker: Checker) -> None:
    verdicts = checker.check_modules(
        {code: IMPORTS + code for code in LOOK_ALIKES if "const create" not in code}
    )
    assert {code: v.diagnostics for code, v in verdicts.items() if not v.compiles} == {}


def test_the_message_names_the_member_and_the_known_categories(checker: Checker) -> None:
    (value,) = verdict_on(checker, "export const a = isSuccess(r) ? r.value : 0;").rules
    assert "reads .value of a Result" in value.message
    (category,) = verdict_on(checker, 'export const a = create("A", "m", "PARSE" as never);').rules
    assert "PARSE" in category.message
    assert "VALIDATION, NETWORK" in category.message


def test_the_line_is_that_of_the_violation_after_characters_outside_the_basic_plane(
    checker: Checker,
) -> None:
    code = "export const a = '𝒳𝒳𝒳'; /* 😀 */\r\nexport const b = isSuccess(r) ? r.value : 0;"
    (violation,) = verdict_on(checker, code).rules
    assert (violation.id, violation.line) == ("R2", FIRST_LINE + 1)


SYMBOLS = [
    ('import { success as ok } from "@qi/base"; ok(1);', ("@qi/base:success",)),
    ('import { Ok } from "@qi/base"; Ok(1);', ("@qi/base:Ok",)),
    ('import { tryCatch } from "@qi/base"; export const f = tryCatch;', ("@qi/base:tryCatch",)),
    ('import * as b from "@qi/base"; b.success(1);', ("@qi/base:success",)),
    ('import * as c from "@qi/core"; c.ConfigBuilder.fromObject({});', ("@qi/core:ConfigBuilder",)),
    ('import { ConfigBuilder } from "@qi/core"; new ConfigBuilder({});', ("@qi/core:ConfigBuilder",)),
    ('import { ConfigBuilder as B } from "@qi/core"; B.fromObject({});', ("@qi/core:ConfigBuilder",)),
    ('import { create as createError } from "@qi/base"; createError("a", "b", "SYSTEM");', ("@qi/base:create",)),
    ('import { success } from "@qi/base/result.js"; success(1);', ("@qi/base:success",)),
    ('import { map } from "@qi/base"; { const map = (x: number) => x; map(1); }', ()),
    ('import { success } from "@qi/base"; const x = await success<number>(1); export { x };', ("@qi/base:success",)),
    ('const { success } = await import("@qi/base"); const b = await import("@qi/base"); b.success(success);', ("@qi/base:success",)),
    ('import { nothing } from "@qi/base"; nothing();', ()),
    ('import { success } from "@qi/base"; [1].map(success);', ("@qi/base:success",)),
    ('import { success as ok } from "@qi/base"; const f = { make: ok };', ("@qi/base:success",)),
    ('import { success } from "@qi/base"; const f = { success };', ("@qi/base:success",)),
    ('import * as b from "@qi/base"; [1].map(b.success);', ("@qi/base:success",)),
    ('import { success } from "@qi/base"; export { success };', ()),
    ('import { success } from "@qi/base"; const f = (success: number) => [success];', ()),
    ('import { success } from "@qi/base";', ()),
    ('import { success } from "@qi/base"; void success; success; type F = typeof success;', ()),
    ('import { map } from "other"; map();', ()),
    ('import { configError } from "@qi/core"; import { success } from "@qi/base"; success(configError("x"));', ("@qi/base:success", "@qi/core:configError")),
]  # fmt: skip


@pytest.mark.parametrize(("code", "symbols"), SYMBOLS)
def test_symbols_are_the_exports_the_module_calls_or_passes_on(
    checker: Checker, code: str, symbols: tuple[str, ...]
) -> None:
    assert checker.check_module(code).symbols == symbols
