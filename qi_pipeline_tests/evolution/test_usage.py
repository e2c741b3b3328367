from qi_pipeline.evolution.usage import unbound_calls, unknown_imports, use_of
from qi_pipeline.extraction.exports import LibraryExports, read_modules
from qi_pipeline.extraction.members import CallResolver
from qi_pipeline.extraction.syntax import parse_module
from qi_pipeline_tests.evolution.planted import ENTRY, INDEX, PROFILE, RESULT, SOURCE

CORE = {
    "lib/core/src/index.ts": 'export * from "./services.js";\n',
    "lib/core/src/services.ts": """
export class Logger {
  static make(): Logger { return new Logger(); }
  info(message: string): void {}
}
export const levels = { info: 1 };
export const loggerError = (message: string): string => message;
""",
}
TEXTS = {ENTRY: INDEX, SOURCE: RESULT, **CORE}


def library(extra: dict[str, str] | None = None) -> LibraryExports:
    return LibraryExports(read_modules({**TEXTS, **(extra or {})}), PROFILE)


def uses(text: str, path: str = "app/demo/src/a.ts") -> tuple[dict[str, int], dict[str, int]]:
    found_in = library({path: text})
    found = use_of(found_in.modules[path], path, [CallResolver(found_in)])
    return dict(found.calls), dict(found.references)


def test_calls_and_other_mentions_are_told_apart() -> None:
    text = """
import { map, success, unwrapOr, type Result } from "@qi/base";
const all: Result<number>[] = [1].map(success);
const first = map((n) => n, success(2));
export const copy = unwrapOr;
"""
    calls, references = uses(text)
    assert calls == {"@qi/base:map": 1, "@qi/base:success": 1}
    assert references == {"@qi/base:Result": 1, "@qi/base:success": 1, "@qi/base:unwrapOr": 1}


def test_imports_and_export_lists_are_no_uses() -> None:
    text = 'import { map, success as ok } from "@qi/base";\nexport { map, ok as fine };\n'
    assert uses(text) == ({}, {})


def test_type_only_imports_are_mentions() -> None:
    text = (
        'import type { QiError } from "@qi/base";\nexport const f = (e: QiError): QiError => e;\n'
    )
    assert uses(text) == ({}, {"@qi/base:QiError": 2})


def test_hidden_names_and_equal_names_of_others_are_no_uses() -> None:
    text = """
import { map } from "@qi/base";
import { success } from "./own.js";
export const f = (map: (n: number) => number): number => map(1);
export const g = (): number => [1].map((n) => n).length + success(1);
"""
    assert uses(text) == ({}, {})


def test_a_member_of_a_class_is_a_use_of_the_class() -> None:
    text = (
        'import { Logger } from "@qi/core";\nexport const logger = Logger.make();\nnew Logger();\n'
    )
    assert uses(text)[0] == {"@qi/core:Logger": 2}


def test_a_member_of_a_constant_is_a_mention() -> None:
    text = 'import { levels } from "@qi/core";\nexport const level = levels.info;\n'
    assert uses(text) == ({}, {"@qi/core:levels": 1})


def test_shorthand_properties_are_mentions() -> None:
    text = 'import { map } from "@qi/base";\nexport const tools = { map };\n'
    assert uses(text) == ({}, {"@qi/base:map": 1})


def test_a_declaration_is_no_use_of_itself_and_its_neighbours_uses_count() -> None:
    calls, references = uses(RESULT, SOURCE)
    assert calls == {"@qi/base:success": 1}
    assert references == {"@qi/base:Result": 5, "@qi/base:QiError": 3}


def test_two_readings_count_one_use_once() -> None:
    text = 'import { success } from "@qi/base";\nexport const one = success(1);\n'
    both = [CallResolver(library()), CallResolver(library())]
    assert dict(use_of(parse_module(text), "app/a/src/a.ts", both).calls) == {"@qi/base:success": 1}


def test_unknown_imports_are_those_of_main_entries_only() -> None:
    text = """
import { isOk, success, type Maybe } from "@qi/base";
import { nothing } from "@qi/base/result.js";
import { other } from "elsewhere";
import { createConfig } from "@qi/qicore-foundation";
import Default from "@qi/core";
"""
    found = unknown_imports(parse_module(text), PROFILE, library())
    assert found == {"@qi/base:isOk", "@qi/base:Maybe", "@qi/base:createConfig"}


def test_unbound_calls_are_neither_imported_nor_declared() -> None:
    text = """
import { map } from "@qi/base";
const local = (next: () => void) => next();
map(isOk, local(() => fetchUser()));
object.method();
"""
    assert unbound_calls(parse_module(text)) == {"fetchUser"}
