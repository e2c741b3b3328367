# ruff: noqa: E501 - TypeScript in tables reads best one case a line
"""Attacks on the verdict: each passed, or helped another module pass, in a naive set-up."""

import subprocess
import sys

import pytest

from qi_pipeline.validation import admission
from qi_pipeline.validation.admission import MAX_CHARACTERS, OWN_CODE
from qi_pipeline.validation.checker import Checker

WRONG_TYPE = "export const x: number = 'text';\n"
GOOD = 'import { success } from "@qi/base";\nexport const fine = success(1);\n'


def test_a_syntax_error_in_one_module_does_not_hide_type_errors_of_another(
    checker: Checker,
) -> None:
    verdicts = checker.check_modules(
        {"broken": "export const = ;", "wrong": WRONG_TYPE, "good": GOOD}
    )
    assert not verdicts["broken"].compiles
    assert [d.code for d in verdicts["wrong"].diagnostics] == [2322]
    assert verdicts["good"].compiles


SILENCERS = [
    "// @ts-nocheck\n",
    "//@ts-ignore\n",
    "/// @ts-expect-error\n",
    "/* @ts-ignore */\n",
    "/*\n  @ts-expect-error */\n",
    "/** reason\n * @ts-ignore */\n",
]


@pytest.mark.parametrize("silencer", SILENCERS)
def test_a_comment_that_silences_the_compiler_is_itself_an_error(
    checker: Checker, silencer: str
) -> None:
    verdict = checker.check_module(silencer + WRONG_TYPE)
    assert not verdict.compiles
    assert verdict.diagnostics[0].code == OWN_CODE
    assert "@ts-" in verdict.diagnostics[0].message


@pytest.mark.parametrize(
    "directive",
    [
        '/// <reference path="../x.ts" />',
        '///<reference types="node" />',
        '/// <reference lib="webworker" />',
    ],
)
def test_a_triple_slash_directive_is_an_error(checker: Checker, directive: str) -> None:
    verdict = checker.check_module(f"{directive}\n{GOOD}")
    assert [d.code for d in verdict.diagnostics] == [OWN_CODE]
    assert "triple-slash" in verdict.diagnostics[0].message


AUGMENTATIONS = {
    "declare global { var leaked: number; }\nexport {};": "export const x: number = leaked;",
    "export {}; global { var leaked: number; }": "export const x: number = leaked;",
    "export {}; declare /* a */ /* b */\tglobal { var leaked: number; }": "export const x: number = leaked;",
    'declare module "invented" { export const a: number; }': 'import { a } from "invented"; export const x = a;',
    'declare module "@qi/base" { export const invented: number; }\nexport {};': 'import { invented } from "@qi/base"; export const x = invented;',
    "declare module Leaked { const a: number; }\nexport as namespace Leaked2;": "export const x: number = Leaked.a;",
    "declare global { interface Array<T> { leaked: T } }\nexport const = ;": "export const x: number[] = []; x.leaked;",
    "export {}; declare gl\\u006fbal { var leaked: number; }": "export const x: number = leaked;",
    'declare m\\u006fdule "invented" { export const a: number; }': 'import { a } from "invented"; export const x = a;',
    "const s = `a${1}`; // text\ndeclare global { var leaked: number; }\nexport const ) = ;": "export const x: number = leaked;",
}  # fmt: skip


@pytest.mark.parametrize("attack", AUGMENTATIONS)
def test_an_augmentation_neither_passes_nor_changes_another_module(
    checker: Checker, attack: str
) -> None:
    verdicts = checker.check_modules(
        {"attack": attack, "victim": AUGMENTATIONS[attack], "good": GOOD}
    )
    assert not verdicts["attack"].compiles
    assert not verdicts["victim"].compiles
    assert verdicts["good"].compiles


def test_what_the_compiler_recovers_from_a_broken_module_changes_no_other(
    checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_augmentations", lambda _module: iter(()))
    verdicts = checker.check_modules(
        {
            "attack": "declare global { var leaked: number; }\nexport const ) = ;",
            "victim": "export const x: number = leaked;",
        }
    )
    assert not verdicts["attack"].compiles
    assert [d.code for d in verdicts["victim"].diagnostics] == [2304]


def test_an_augmentation_has_a_message_of_its_own(checker: Checker) -> None:
    (diagnostic,) = checker.check_module(" \nexport {}; declare global { var a: 1 }").diagnostics
    assert (diagnostic.code, diagnostic.line, diagnostic.column) == (OWN_CODE, 2, 12)
    assert "ambient augmentation (declare global)" in diagnostic.message


@pytest.mark.parametrize(
    "specifier",
    [
        "./victim.js",
        "../victim/module.js",
        "../0/module.js",
        "../../library",
        "../../library.js",
        "/etc/passwd",
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "import {{ a }} from '{}'; export const x = a;",
        "import '{}';",
        "export * from '{}';",
        "export const x = import('{}');",
        "export const x = import(`{}`);",
        "export type X = import('{}').A;",
        "import x = require('{}'); export const y = x;",
    ],
)  # fmt: skip
def test_an_import_that_is_not_a_package_is_an_error(
    checker: Checker, specifier: str, form: str
) -> None:
    verdicts = checker.check_modules(
        {"attack": form.format(specifier), "victim": "export const a = 1; export type A = number;"}
    )
    assert not verdicts["attack"].compiles
    assert f"imports {specifier!r}" in verdicts["attack"].diagnostics[0].message
    assert verdicts["victim"].compiles


def test_types_that_are_made_of_globals_cannot_be_imported(checker: Checker) -> None:
    verdict = checker.check_module('import "vitest/globals";')
    assert "changes the globals" in verdict.diagnostics[0].message


def test_require_is_an_error_because_its_value_is_untyped(checker: Checker) -> None:
    verdict = checker.check_module(
        'const b = require("@qi/base"); export const x: number = b.nothing();'
    )
    assert "require()" in verdict.diagnostics[0].message


def test_equal_global_names_in_two_modules_do_not_collide(checker: Checker) -> None:
    verdicts = checker.check_modules(
        {"one": "const shared = 1; interface A { a: 1 }", "two": "const shared = 'a'; interface A { b: 2 }; const y: A = { b: 2 };"}
    )  # fmt: skip
    assert all(verdict.compiles for verdict in verdicts.values())


@pytest.mark.parametrize(
    "text",
    [
        "// why @ts-ignore is bad, and declare global too\nexport {};",
        "export const a = '// @ts-ignore'; export const b = \"declare module 'x'\";",
        "export const a = `\n// @ts-nocheck\n/// <reference path='x' />\ndeclare global {}`;",
        "export const module = 'x'; export const o = { global: { a: 1 }, declare: 1 };",
        "export const f = (importer: (s: string) => void) => importer('./x');",
        r"export const a = '\u0041'; export const b = `\u0041`; export const c = /\u0041/u; // \u0041",
        "namespace Local { export const a = 1; } export const b = Local.a;",
        "/* an example:\n   import x from './y' */ export {};",
    ],
)
def test_what_only_looks_like_an_attack_compiles(checker: Checker, text: str) -> None:
    assert checker.check_module(text).diagnostics == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("const a = 1;" + " " * MAX_CHARACTERS, "characters"),
        ("const a = '\0';", "NUL"),
        ("const a = '\ud800';", "surrogate"),
    ],
)
def test_text_that_cannot_be_a_module_fails_with_a_reason(
    checker: Checker, text: str, said: str
) -> None:
    verdicts = checker.check_modules({"bad": text, "good": GOOD})
    assert not verdicts["bad"].compiles
    assert said in verdicts["bad"].diagnostics[0].message
    assert verdicts["good"].compiles


@pytest.mark.parametrize(
    "part",
    ["/", "/**/", "declare/**/", "declare/*", "//@ts-", "@ts-ignore ", "\n", " ", "///", "`${"],
)
def test_admission_ends_on_text_made_to_run_away(part: str) -> None:
    # A process of its own, so that a text that never ends fails this test instead of the run.
    program = "import sys; from qi_pipeline.validation.admission import admit; admit(sys.argv[1])"
    text = "declare" + part * (MAX_CHARACTERS // 2 // len(part))
    subprocess.run([sys.executable, "-c", program, text], check=True, timeout=300)
