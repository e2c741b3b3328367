"""Mutants of planted modules and of the bundled suite's references."""

from collections import Counter
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks
from qi_pipeline.extraction.syntax import parse_module, syntax_error_line
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.sandbox import mutants as mutants_module
from qi_pipeline.sandbox.bundle import Toolchain
from qi_pipeline.sandbox.mutants import Mutant, make_mutants
from qi_pipeline.sandbox.sandbox import Sandbox
from qi_pipeline.validation.checker import Checker
from qi_pipeline_tests.sandbox.conftest import TOOLCHAIN, Sample

TOOLS = (Toolchain(TOOLCHAIN), Sandbox())
LIBRARY_OPERATORS = {"LibraryFunction", "LibraryStep", "ErrorCategory"}


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile()


def mutate(text: str) -> tuple[Mutant, ...]:
    return make_mutants({"module": text}, *TOOLS)["module"]


def mutate_by_library(text: str, profile: Profile) -> list[Mutant]:
    found = make_mutants({"module": text}, *TOOLS, profile)["module"]
    return [mutant for mutant in found if mutant.operator in LIBRARY_OPERATORS]


def changes(found: tuple[Mutant, ...] | list[Mutant]) -> list[tuple[int, str, str, str]]:
    return [(one.line, one.operator, one.original, one.replacement) for one in found]


# ── Standard operators ───────────────────────────────────────────────────────────────────────────


def test_the_standard_operators_change_one_place_each_in_order() -> None:
    text = """export const price = (amount: number, member: boolean): string => {
  if (amount >= 10 && member) {
    return "cheap";
  }
  return `${amount * 2}`;
};
"""
    found = mutate(text)
    assert [(line, operator, new) for line, operator, _, new in changes(found)] == [
        (1, "BlockStatement", "{}"),
        (2, "ConditionalExpression", "true"),
        (2, "EqualityOperator", "amount > 10"),
        (2, "EqualityOperator", "amount < 10"),
        (2, "ConditionalExpression", "true"),
        (2, "ConditionalExpression", "false"),
        (2, "LogicalOperator", "amount >= 10 || member"),
        (2, "BlockStatement", "{}"),
        (3, "StringLiteral", '""'),
        (5, "StringLiteral", "``"),
        (5, "ArithmeticOperator", "amount / 2"),
    ]
    for one in found:
        assert one.module == text.replace(one.original, one.replacement, 1)


def test_places_count_characters_whatever_they_are_and_however_lines_end() -> None:
    text = '/* 😀 "é" */\r\nexport const tone = "𝄞";\r\n// \u2028\nexport const flag = true;\n'
    found = mutate(text)
    assert changes(found) == [
        (2, "StringLiteral", '"𝄞"', '""'),
        (4, "BooleanLiteral", "true", "false"),
    ]
    assert [one.module for one in found] == [
        text.replace('"𝄞"', '""'),
        text.replace("true", "false"),
    ]


def test_a_byte_order_mark_does_not_move_the_places() -> None:
    text = "export const flag = true;\n"
    assert mutate("\ufeff" + text) == mutate(text)


def test_equal_mutants_are_one_and_the_module_itself_is_none() -> None:
    text = """export const run = (): void => {
  while (true) break;
  while (false) break;
};
"""
    modules = [one.module for one in mutate(text)]
    twice = text.replace("true", "false")
    assert modules.count(twice) == 1
    assert text not in modules
    assert len(modules) == len(set(modules))


def test_what_is_imported_from_where_is_not_mutated() -> None:
    text = """import { readFile } from "node:fs/promises";
import type { Result } from "@qi/base";
import "./effects.js";
export * from "./all.js";
export { one } from "./one.js";
export type Shown = import("./types.js").Shown | "literal";
export const load = (): Promise<unknown> => import("./later.js");
export const text = (path: string): Promise<string> => readFile(path, "utf8");
export type Found = Result<string>;
"""
    found = mutate(text)
    assert [one.original for one in found if one.operator == "StringLiteral"] == ['"utf8"']
    kept = [
        line for line in text.splitlines() if line.startswith(("import", "export *", "export {"))
    ]
    for one in found:
        assert [line for line in one.module.splitlines() if line in kept] == kept


@pytest.mark.parametrize(
    ("code", "mutated"),
    [
        ("!(a || b) && c", "(a || b) && c"),
        ("c && (function () { return!a })()", "c && (function () { return a })()"),
        ("!a && c", "a && c"),
        ("(a || b).valueOf().toString().trim() === d", "(a || b).valueOf().toString() === d"),
        ("(a ? d : e).trim().length > 0", "(a ? d : e).length > 0"),
        ("(async () => (await d).trim().length)()", "(async () => (await d).length)()"),
        ("1 +-d.length", "1 + +d.length"),
        ("d?.trim() === e", "d.trim() === e"),
    ],
)  # fmt: skip
def test_a_replacement_binds_as_the_tree_said(code: str, mutated: str) -> None:
    head = "declare const a: boolean, b: boolean, c: boolean, d: string, e: string;"
    found = {one.module for one in mutate(f"{head}\nexport const value = {code};\n")}
    assert f"{head}\nexport const value = {mutated};\n" in found


def test_comments_do_not_hide_code_from_mutation() -> None:
    assert changes(mutate("// Stryker disable all\nexport const flag = true;\n")) == [
        (2, "BooleanLiteral", "true", "false")
    ]


def test_nothing_to_mutate_gives_no_mutant() -> None:
    assert make_mutants({"empty": "", "types": 'export type A = "a";\n'}, *TOOLS) == {
        "empty": (),
        "types": (),
    }
    assert make_mutants({}, *TOOLS) == {}


def test_a_text_that_does_not_parse_is_named() -> None:
    with pytest.raises(QiPipelineError, match=r"^broken cannot be mutated: .*\(2:0\)"):
        make_mutants({"fine": "export {};", "broken": "const a = 1;\n} no"}, *TOOLS)


def test_a_toolchain_without_the_tool_is_named(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match=r"instrumenter is missing; .*npm ci"):
        make_mutants({"module": ""}, Toolchain(tmp_path), Sandbox())


def test_a_tool_that_breaks_down_is_an_error(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "@stryker-mutator" / "instrumenter"
    package.mkdir(parents=True)
    (package / "package.json").write_text("{}")
    with pytest.raises(QiPipelineError, match=r"mutation tool of .* exited \(1\).* on module: "):
        make_mutants({"module": ""}, Toolchain(tmp_path), Sandbox())


def test_many_modules_go_in_portions_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {str(n): f"export const flag{n} = true;\n" for n in range(5)}
    together = make_mutants(modules, *TOOLS)
    monkeypatch.setattr(mutants_module, "_CHARACTERS_AT_ONCE", 60)
    assert make_mutants(modules, *TOOLS) == together
    assert [len(found) for found in together.values()] == [1] * 5


# ── Operators that know the library ──────────────────────────────────────────────────────────────

BOOKING = """import {
  businessError, failure, filter, isSuccess, mapError, networkError, success, validationError,
} from "@qi/base";
import type { QiError, Result } from "@qi/base";

export const book = (seats: number): Result<number> =>
  filter((wanted) => wanted > 0, validationError("no seats"), success(seats));

export const offline = (): Result<number> => failure(networkError("offline"));

export const renamed = (): Result<number> =>
  mapError((error) => ({ ...error, category: "NETWORK" as const, code: "E" }), offline());

export const late = (error: QiError): boolean => error.category === "TIMEOUT";

export const known = (result: Result<number>): boolean => isSuccess(result);

export const refuse = (): Result<number> => failure(businessError("refused"));
"""


def test_a_library_function_is_exchanged_and_its_import_completed(profile: Profile) -> None:
    found = [m for m in mutate_by_library(BOOKING, profile) if m.operator == "LibraryFunction"]
    assert changes(found) == [
        (7, "LibraryFunction", "validationError", "businessError"),
        (9, "LibraryFunction", "networkError", "systemError"),
        (16, "LibraryFunction", "isSuccess", "isFailure"),
        (18, "LibraryFunction", "businessError", "networkError"),
    ]
    within, added, *_ = found
    assert within.module == BOOKING.replace('validationError("no', 'businessError("no')
    assert added.module == BOOKING.replace("networkError(", "systemError(").replace(
        "networkError,", "networkError, systemError,"
    )


def test_a_step_is_left_out(profile: Profile) -> None:
    found = [m for m in mutate_by_library(BOOKING, profile) if m.operator == "LibraryStep"]
    assert [(m.line, m.replacement) for m in found] == [
        (7, "success(seats)"),
        (12, "offline()"),
    ]
    assert "\n  offline();\n" in found[1].module


def test_what_a_left_out_step_leaves_is_parenthesized_where_it_must_be(profile: Profile) -> None:
    text = """import { map, type Result } from "@qi/base";
export const pick = (one: Result<string>, more: Result<string>[]): unknown => [
  map((text) => text, more[0] ?? one).tag,
  map((text) => text, /* as it is */ one).tag,
  map(...[(text: string) => text], one),
];
"""
    found = mutate_by_library(text, profile)
    assert [(m.line, m.replacement) for m in found] == [(3, "(more[0] ?? one)"), (4, "one")]


def test_an_error_category_becomes_another_one(profile: Profile) -> None:
    text = """import { create } from "@qi/base";
export * from "NETWORK";
type Kind = "NETWORK" | "LOGGER" | { "NETWORK": "LOGGER" };
export const last: Kind = "LOGGER" as const;
export const fail = () => create("E", "the NETWORK", "SYSTEM", { "NETWORK": "VALIDATION" });
export const late = (kind: Kind): boolean => kind === "TIMEOUT";
"""
    found = mutate_by_library(text, profile)
    assert changes(found) == [
        (4, "ErrorCategory", '"LOGGER"', '"VALIDATION"'),
        (5, "ErrorCategory", '"SYSTEM"', '"BUSINESS"'),
        (5, "ErrorCategory", '"VALIDATION"', '"NETWORK"'),
        (6, "ErrorCategory", '"TIMEOUT"', '"RESOURCE"'),
    ]
    assert found[3].module == text.replace("TIMEOUT", "RESOURCE")


def test_an_alias_is_exchanged_by_what_it_stands_for(profile: Profile) -> None:
    text = """import { validationError as invalid, systemError as fault } from "@qi/base";
import { timeoutError } from "@qi/qicore-foundation/base";
export const found = [invalid("a"), fault("b"), timeoutError("c")].map(fault);
export type Made = typeof invalid;
"""
    found = mutate_by_library(text, profile)
    assert [(m.original, m.replacement) for m in found] == [
        ("invalid", "businessError"),
        ("fault", "authenticationError"),
        ("timeoutError", "resourceError"),
        ("fault", "authenticationError"),
    ]
    assert "{ validationError as invalid, businessError, systemError as fault }" in found[0].module
    assert "{ timeoutError, resourceError }" in found[2].module
    assert ".map(authenticationError)" in found[3].module


def test_equal_names_of_other_modules_are_left_alone(profile: Profile) -> None:
    text = """import { validationError } from "./errors.js";
import type { networkError } from "@qi/base";
import { timeoutError } from "@qi/core";
const systemError = (message: string): string => message;
const map = (items: number[], more: number[]): number[] => [...items, ...more];
export const all = [validationError("a"), systemError("b"), timeoutError("c"), map([1], [2])];
export type Kind = typeof networkError;
"""
    assert mutate_by_library(text, profile) == []


def test_without_a_profile_nothing_is_known_of_the_library() -> None:
    assert not {one.operator for one in mutate(BOOKING)} & LIBRARY_OPERATORS


def test_exchanged_factories_and_left_out_steps_compile(sample: Sample) -> None:
    found = mutate_by_library(BOOKING, sample.profile)
    modules = {str(number): one.module for number, one in enumerate(found)}
    with Checker(sample.workspace, sample.profile, TOOLCHAIN) as checker:
        verdicts = checker.check_modules({"booking": BOOKING, **modules})
    assert verdicts["booking"].compiles
    compiling = Counter(
        one.operator for number, one in enumerate(found) if verdicts[str(number)].compiles
    )
    assert compiling == {"LibraryFunction": 4, "LibraryStep": 2, "ErrorCategory": 2}


def test_every_mutant_of_the_bundled_references_is_typescript(profile: Profile) -> None:
    tasks = load_tasks(bundled_suite())
    found = make_mutants({task.id: task.reference for task in tasks}, *TOOLS, profile)
    assert list(found) == [task.id for task in tasks]
    for task in tasks:
        modules = [one.module for one in found[task.id]]
        assert modules, task.id
        assert len({*modules, task.reference}) == len(modules) + 1
        for one in found[task.id]:
            assert syntax_error_line(parse_module(one.module)) is None, one
            assert one.original in task.reference
            assert one.replacement in one.module
