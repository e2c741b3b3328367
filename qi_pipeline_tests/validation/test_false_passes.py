# ruff: noqa: E501 - TypeScript in tables reads best one case a line
"""More attacks on the verdict: through packages, module forms, and a compiler that goes away."""

import os
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tree_sitter import Node

from qi_pipeline.library.profile import Profile
from qi_pipeline.validation import blame
from qi_pipeline.validation.augmentation import adds_globals
from qi_pipeline.validation.blame import library_callee
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.compiler import Compiler, CompilerFailedError, Request
from qi_pipeline.validation.references import LibraryFacts, References
from qi_pipeline.validation.syntax import around, parse_module, string_value
from qi_pipeline.validation.workspace import LibraryWorkspace
from qi_pipeline_tests.validation.conftest import TOOLCHAIN

GOOD = 'import { success } from "@qi/base";\nexport const fine = success(1);\n'
BAD = 'import { success } from "@qi/base";\nexport const x: string = success(1);\n'
PACKAGES = {
    "leaky": "declare global { var leaked: number; interface Array<T> { leaked: T } }\nexport interface Leaky { a: 1 }\n",
    "script": "declare var leaked: number;\ndeclare module 'invented' { export const a: number }\n",
    "umbrella": 'export * from "leaky";\n',
    "patching": 'import "@qi/base";\ndeclare module "@qi/base" { export const invented: number }\n',
    "harmless": "export interface Leaky { a: 1 }\nexport const a: number;\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def leaking(
    profile: Profile, library: LibraryWorkspace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Checker]:
    """A checker whose npm dependencies hold packages that change other modules."""
    modules = tmp_path_factory.mktemp("dependencies") / "node_modules"
    shutil.copytree(library.node_modules, modules)
    for name, text in PACKAGES.items():
        (modules / name).mkdir()
        (modules / name / "package.json").write_text(f'{{"name": "{name}", "types": "i.d.ts"}}')
        (modules / name / "i.d.ts").write_text(text)
    with Checker(replace(library, node_modules=modules), profile, TOOLCHAIN) as running:
        yield running


@pytest.mark.parametrize("victim", ["export const x: number = leaked;", "export const x: number[] = []; x.leaked;"])  # fmt: skip
@pytest.mark.parametrize(
    "attack",
    [
        'import type { Leaky } from "leaky"; export type A = Leaky;',
        'import type {} from "leaky"; export {};',
        'import "leaky"; export {};',
        'export * from "leaky";',
        'export type A = import("leaky").Leaky;',
        'export const a = import("leaky");',
        'import leaky = require("leaky"); export type A = leaky.Leaky;',
        'import "umbrella"; export {};',
        'import "script"; export {};',
    ],
)
def test_a_package_that_adds_globals_helps_no_other_module(
    leaking: Checker, attack: str, victim: str
) -> None:
    verdicts = leaking.check_modules({"attack": attack, "victim": victim, "good": GOOD})
    assert not verdicts["victim"].compiles
    assert verdicts["good"].compiles


def test_a_package_that_changes_the_library_helps_no_other_module(leaking: Checker) -> None:
    verdicts = leaking.check_modules(
        {
            "attack": 'import "patching"; export {};',
            "victim": 'import { invented } from "@qi/base"; export const x = invented;',
        }
    )
    assert not verdicts["victim"].compiles


def test_who_imports_a_package_that_adds_globals_has_them_alone_and_in_company(
    leaking: Checker,
) -> None:
    user = 'import "leaky"; export const x: number = leaked;'
    assert leaking.check_module(user).compiles
    assert leaking.check_modules({"user": user, "good": GOOD, "bad": BAD})["user"].compiles


def test_a_harmless_package_keeps_its_importers_together(leaking: Checker) -> None:
    assert leaking.check_module('import { a } from "harmless"; export const x = a;').compiles
    assert not leaking._augments("harmless")
    assert leaking._augments("leaky")


@pytest.mark.parametrize(
    ("text", "adds"),
    [
        ("export declare const a: number;", False),
        ("import type { A } from './a';\nexport type B = A;", False),
        ("declare const a: number;", True),
        ("export {};\ndeclare global { var a: number }", True),
        ("export {};\ndeclare module 'x' { }", True),
        ('/// <reference lib="webworker" />\nexport {};', True),
    ],
)
def test_a_file_adds_globals_when_others_see_what_it_declares(
    tmp_path: Path, text: str, adds: bool
) -> None:
    file = tmp_path / "a.d.ts"
    file.write_text(text)
    assert adds_globals([file.as_posix()]) == adds


def test_a_library_of_the_compiler_adds_globals() -> None:
    assert adds_globals(["bundled:///libs/lib.webworker.d.ts"])


@pytest.mark.parametrize(
    "attack",
    [
        "export = { a: 1 };",
        "const a = 1; export = a; declare global { var leaked: number }",
        "export const a = <div>text</div>;",
        "import a from 'data.json' with { type: 'json' }; export { a };",
        'import a = require("not-there"); export { a };',
        "module.exports = { a: 1 };",
        'export const a = (0, eval)("require")("fs").x.y as number; export const b: number = "text";',
        "export const a: number = leaked;",
        "var leaked = 1; export const a: string = leaked;",
    ],
)
def test_a_module_in_another_form_fails_and_changes_no_other(checker: Checker, attack: str) -> None:
    verdicts = checker.check_modules(
        {"attack": attack, "victim": "export const x: number = leaked;", "good": GOOD}
    )
    assert not verdicts["attack"].compiles
    assert not verdicts["victim"].compiles
    assert verdicts["good"].compiles


@pytest.mark.parametrize(
    "specifier", ["@qi/base/../../../../modules/1/x", "zod/../../library", "@qi/base/.."]
)
def test_a_package_path_that_climbs_is_an_error(checker: Checker, specifier: str) -> None:
    (diagnostic, *_) = checker.check_module(f'import "{specifier}"; export {{}};').diagnostics
    assert f"imports {specifier!r}" in diagnostic.message


@pytest.mark.parametrize(
    ("specifier", "said"),
    [
        (r"aug\x2fglobals", "changes the globals"),
        (r"\x2e\x2e/\x2e\x2e/tsconfig.json", "'../../tsconfig.json'"),
        (r"\u002e/x", "'./x'"),
        (
            r"\u{2e}\
./x",
            "'../x'",
        ),
        (r"zod/\56./x", "no text of a path"),
        (r"zod\xZZ", "no text of a path"),
        (r"zod\ud800", "no text of a path"),
    ],
)
@pytest.mark.parametrize("form", ['import "{}"; export {{}};', 'export const a = import("{}");', 'export type A = import("{}").A;'])  # fmt: skip
def test_an_escaped_package_path_is_read_as_the_compiler_reads_it(
    checker: Checker, form: str, specifier: str, said: str
) -> None:
    verdict = checker.check_module(form.format(specifier))
    assert not verdict.compiles
    assert any(said in item.message for item in verdict.diagnostics)


def test_an_escaped_path_of_a_package_that_adds_globals_helps_no_other_module(
    leaking: Checker,
) -> None:
    verdicts = leaking.check_modules(
        {"attack": r'import "le\x61ky"; export {};', "victim": "export const x: number = leaked;"}
    )
    assert verdicts["attack"].compiles
    assert not verdicts["victim"].compiles


def test_a_package_name_that_no_file_can_have_is_a_type_error(checker: Checker) -> None:
    (diagnostic,) = checker.check_module(f'import "{"x" * 5000}"; export {{}};').diagnostics
    assert diagnostic.code in {2307, 2882}


@pytest.mark.parametrize(
    "deep",
    ["export const keep = [1]; export const x = keep" + "?.at(0)" * 1000 + ";", "export const x = " + "(" * 9000 + "1" + ")" * 9000 + ";", "export const x = 1" + " + 1" * 9000 + ";", "export type A = " + "Array<" * 5000 + "1" + ">" * 5000 + ";"],
    ids=["chain", "parentheses", "sum", "type"],
)  # fmt: skip
def test_a_module_nested_deeper_than_any_program_is_refused(checker: Checker, deep: str) -> None:
    verdicts = checker.check_modules({"deep": deep, "good": GOOD})
    (diagnostic,) = verdicts["deep"].diagnostics
    assert "levels deep; split the expression" in diagnostic.message
    assert verdicts["good"].compiles


def test_functions_that_call_each_other_in_a_long_circle_are_judged(checker: Checker) -> None:
    circle = "".join(f"function f{n}() {{ f{(n + 1) % 900}(); throw 1; }}\n" for n in range(900))
    verdict = checker.check_module(circle + "export {};")
    assert verdict.compiles
    assert [rule.id for rule in verdict.rules] == ["R7"] * 900


def test_a_long_chain_of_calls_is_still_judged(checker: Checker) -> None:
    text = "export const x = [1]" + ".map((x) => x)" * 100 + ";"
    assert checker.check_module(text).compiles


def test_finding_the_call_that_a_diagnostic_is_about_takes_a_few_steps(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "x" + "?.at(0)" * 1000
    nothing = LibraryFacts({}, {}, {}, frozenset(), frozenset())
    offsets = [match.start() for match in re.finditer("at", text)]
    unknown = dict.fromkeys(offsets, frozenset[str]())
    references = References(parse_module(text), (), unknown, nothing, profile)
    steps: list[object] = []

    def counted(node: Node) -> Iterator[Node]:
        for outer in around(node):
            steps.append(outer)
            yield outer

    monkeypatch.setattr(blame, "around", counted)
    for offset in offsets:
        assert library_callee(references, offset, []) is None
    assert len(offsets) == 1000
    assert len(steps) <= 10 * len(offsets)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("'t\\x61g'", "tag"),
        ("'\\u0074\\u{61}\\u{000067}'", "tag"),
        ("'\\uD83D\\uDE00'", "\U0001f600"),
        ("'ta\\\ng'", "tag"),
        ("'ta\\\r\ng'", "tag"),
        ("'\\t\\a\\g\\n\\'\\\\'", "\tag\n'\\"),
        ("`t\\x61g`", "tag"),
        ("'\\0'", "\0"),
        ("''", ""),
        ("'\\01'", None),
        ("'\\8'", None),
        ("'\\x6'", None),
        ("'\\uD83D'", None),
        ("'\\u{110000}'", None),
        ("'\\u{99999999999999999999}'", None),
        ("`t${'ag'}`", None),
        ("tag", None),
    ],
)
def test_the_value_of_a_literal_is_the_languages(literal: str, value: str | None) -> None:
    module = parse_module(literal)
    statement = module.tree.root_node.named_children[0]
    node = statement.named_children[0]
    assert string_value(module, node) == value


def test_equal_script_globals_do_not_leak_without_any_export(checker: Checker) -> None:
    verdicts = checker.check_modules(
        {"one": "var leaked = 1; interface Window { leaked: number }", "two": "export const x: number = leaked; window.leaked;"}
    )  # fmt: skip
    assert verdicts["one"].compiles
    assert {d.code for d in verdicts["two"].diagnostics} == {2304, 2339}


def lose(pid: int | None, fatal: signal.Signals) -> None:
    """Stop or kill the compiler and wait until it is so."""
    assert pid is not None
    os.kill(pid, fatal)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGSTOP])
def test_a_compiler_lost_in_the_middle_of_a_batch_changes_no_verdict(
    profile: Profile,
    library: LibraryWorkspace,
    monkeypatch: pytest.MonkeyPatch,
    fatal: signal.Signals,
) -> None:
    modules = {"good": GOOD, "bad": BAD, "broken": "export const = ;"}
    ask = Compiler.ask
    hit: list[int | None] = []

    def ask_once_lost(self: Compiler, requests: Sequence[Request], timeout_s: float) -> list[Any]:
        if not hit and any(method == "getSemanticDiagnostics" for method, _ in requests):
            lose(self.pid, fatal)
            hit.append(self.pid)
            timeout_s = 0.5
        return ask(self, requests, timeout_s)

    with Checker(library, profile, TOOLCHAIN) as running:
        expected = running.check_modules(modules)
        monkeypatch.setattr(Compiler, "ask", ask_once_lost)
        assert running.check_modules(modules) == expected
        assert running.compiler_pid not in {None, *hit}


def test_a_compiler_that_never_answers_about_one_module_fails_that_module_only(
    profile: Profile, library: LibraryWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Compiler.ask

    def ask_or_hang(self: Compiler, requests: Sequence[Request], timeout_s: float) -> list[Any]:
        files = [parameters["file"] for method, parameters in requests if method == "getSemanticDiagnostics"]  # fmt: skip
        if any("endless" in Path(file).read_text() for file in files):
            lose(self.pid, signal.SIGSTOP)
            with pytest.raises(CompilerFailedError, match="no answer within") as caught:
                ask(self, requests, 0.2)
            raise caught.value
        return ask(self, requests, timeout_s)

    monkeypatch.setattr(Compiler, "ask", ask_or_hang)
    with Checker(library, profile, TOOLCHAIN) as running:
        verdicts = running.check_modules(
            {"good": GOOD, "endless": "export const endless = 1;", "bad": BAD}
        )
    assert verdicts["good"].compiles
    assert "cannot judge this module" in verdicts["endless"].diagnostics[0].message
    assert [d.code for d in verdicts["bad"].diagnostics] == [2322]
