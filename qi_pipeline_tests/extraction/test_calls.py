# ruff: noqa: E501 - TypeScript in tables reads best one case a line
"""Which calls reach the library, and where they stand."""

import pytest

from qi_pipeline_tests.extraction.planted import APP, LIBRARY, called, calls_in

IMPORT = 'import { success, map, ConfigBuilder } from "@qi/base";\n'
SUCCESS = ["@qi/base:success direct"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('import { success } from "@qi/base"; success(1);', SUCCESS),
        ('import { success as ok } from "@qi/base"; ok(1); success(2);', SUCCESS),
        ('import * as qi from "@qi/base"; qi.success(1); qi.unknown(2);', SUCCESS),
        ('import { success } from "@qi/base/result"; success(1);', SUCCESS),
        ('import { success } from "@qi/base/result.js"; success(1);', SUCCESS),
        ('import { success } from "@qi"; success(1);', SUCCESS),
        ('import { success } from "@qi/qicore-foundation/base"; success(1);', SUCCESS),
        ('import { success } from "../../../lib/base/src/result.js"; success(1);', SUCCESS),
        ('import { success } from "@qi/base"; success<number>(1);', SUCCESS),
        ('import { success } from "@qi/base"; await success<number>(1);', SUCCESS),
        ('import * as qi from "@qi/base"; await qi.success<number>(1);', SUCCESS),
        (
            'import { MemoryCache } from "@qi/core"; new MemoryCache();',
            ["@qi/core:MemoryCache new"],
        ),
        ('import * as qi from "@qi/core"; new qi.MemoryCache();', ["@qi/core:MemoryCache new"]),
        (
            'import { ConfigBuilder } from "@qi/core"; ConfigBuilder.fromObject({});',
            ["@qi/core:ConfigBuilder.fromObject static_member"],
        ),
        ('import { success } from "./own"; success(1);', []),
        ('import { success } from "other"; success(1);', []),
        ('import { success } from "@qi/unknown"; success(1);', []),
        ('import { nothing } from "@qi/base"; nothing(1);', []),
        ('import success from "@qi/base"; success(1);', []),
        ('import type { success } from "@qi/base"; success(1);', []),
        ('import { type success } from "@qi/base"; success(1);', []),
        ('import { success } from "@qi/base"; success.call(1); list.map(success);', []),
        ('import { success } from "@qi/base"; other.success(1);', []),
        ("success(1);", []),
    ],
)
def test_an_import_decides_whether_a_call_reaches_the_library(
    text: str, expected: list[str]
) -> None:
    assert called(text) == expected


def test_colliding_names_go_to_the_package_they_were_imported_from() -> None:
    text = (
        'import { loggerError as one } from "@qi/base"; import { loggerError } from "@qi/core";'
        "one(''); loggerError('');"
    )
    assert called(text) == ["@qi/base:loggerError direct", "@qi/core:loggerError direct"]


def test_the_library_calls_its_own_functions_in_the_same_file_and_across_files() -> None:
    text = 'import { success } from "./result.js"; export const twice = () => success(map(f, x));'
    files = {"lib/base/src/index.ts": 'export * from "./result.js"; export * from "./more.js";'}
    assert called(text, "lib/base/src/more.ts", files) == SUCCESS
    own = "export const success = 1; export const again = () => success(1); again();"
    assert called(own, "lib/base/src/result.ts") == [
        "@qi/base:success direct",
        "@qi/base:again direct",
    ]


def test_an_app_function_of_a_library_name_is_not_the_library() -> None:
    assert called("function success(x: number) {} success(1);") == []


@pytest.mark.parametrize(
    "scope",
    [
        "function f(success: F) { success(1); }",
        "function f(success?: F) { success(1); }",
        "function f(...success: F[]) { success(1); }",
        "function f({ success }: T) { success(1); }",
        "function f({ a: { b: [success] } }: T) { success(1); }",
        "function f({ success = x } = {}) { success(1); }",
        "const f = success => success(1);",
        "const f = async (success: F) => success(1);",
        "class A { m(success: F) { success(1); } }",
        "class A { constructor(private success: F) { success(1); } }",
        "function f() { const success = g; success(1); }",
        "function f() { if (x) { const { success } = g; success(1); } }",
        "function f() { success(1); function success() {} }",
        "function f() { success(1); if (x) { var success = g; } }",
        "function f() { for (var success of xs) {} success(1); }",
        "try { f(); } catch (success) { success(1); }",
        "try { f(); } catch ({ success }) { success(1); }",
        "for (const success of list) { success(1); }",
        "for (const { success } of list) success(1);",
        "for (let success = f; ; ) { success(1); }",
        "switch (x) { case 1: let success = g; success(1); }",
        "const f = function success() { success(1); };",
        "const f = function* success() { success(1); };",
        "function f() { function* success() {} success(1); }",
        "function f() { enum success { A } success(1); }",
    ],
)
def test_an_inner_declaration_hides_the_import(scope: str) -> None:
    assert called(IMPORT + scope) == []


def test_an_inner_class_hides_the_imported_one() -> None:
    text = (
        'import { MemoryCache } from "@qi/core";\n'
        "function f() { class MemoryCache {} new MemoryCache(); }"
    )
    assert called(text) == []
    assert called(text.replace("class MemoryCache", "const c = class MemoryCache")) == [
        "@qi/core:MemoryCache new"
    ]


@pytest.mark.parametrize(
    "scope",
    [
        "function f(success: F) {} success(1);",
        "function f() { const success = g; } function h() { success(1); }",
        "{ let success = g; } success(1);",
        "try {} catch (success) {} success(1);",
        "for (const success of list) {} success(1);",
        "const g = ({ a = success(1) }) => a;",
        "const g = ({ a = success }) => success(1);",
        "function f({ success: other }: T) { success(1); }",
        "function f() { type success = string; success(1); }",
        "function f<success>() { success(1); }",
        "type F = (success: string) => void; success(1);",
        "interface I { success(x: number): void } success(1);",
        "const o = { success: 1 }; success(1);",
        "class A { success() { return success(1); } }",
        "const f = function success() {}; success(1);",
        "for (success of list) { success(1); }",
    ],
)
def test_a_declaration_elsewhere_hides_nothing(scope: str) -> None:
    assert called(IMPORT + scope) == SUCCESS


def test_a_local_name_in_one_function_leaves_its_siblings_alone() -> None:
    text = IMPORT + "const a = (map: F) => map(1);\nconst b = () => map(f, success(1));"
    assert called(text) == ["@qi/base:map direct", "@qi/base:success direct"]


@pytest.mark.parametrize(
    ("before", "line", "column"),
    [
        ("", 2, 1),
        ("  ", 2, 3),
        ("\t", 2, 2),
        ("/* \N{PARTY POPPER} */ ", 2, 10),
        ("const é = ", 2, 11),
        ("x();\r\n\r\n\t", 4, 2),
        ("\n// \N{PARTY POPPER}\n", 4, 1),
    ],
)
def test_positions_are_one_based_and_columns_count_utf16_units(
    before: str, line: int, column: int
) -> None:
    (call,) = calls_in('import { success } from "@qi/base";\n' + before + "success(1);")
    assert (call.line, call.column) == (line, column)


def test_a_member_call_stands_where_its_object_begins() -> None:
    (call,) = calls_in('import * as qi from "@qi/base";\n  qi.success(1);')
    assert (call.line, call.column) == (2, 3)


def test_a_byte_order_mark_moves_no_column() -> None:
    text = 'import { success } from "@qi/base"; success(1);'
    assert calls_in("\ufeff" + text) == calls_in(text)


MAP = ["@qi/base:map direct"]
STATIC = ["@qi/core:ConfigBuilder.fromObject static_member"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('const { success } = await import("@qi/base"); success(1);', SUCCESS),
        ('const { success: ok } = await import("@qi/base"); ok(1); success(1);', SUCCESS),
        ('const { success = x } = await import("@qi/base"); success(1);', SUCCESS),
        ('const qi = await import("@qi/base"); qi.success(1); success(2);', SUCCESS),
        ('const { success } = (await import("@qi/base"))!; success(1);', SUCCESS),
        ('(await import("@qi/base")).success(1);', SUCCESS),
        ('(await import("@qi/base/result")).success(1);', SUCCESS),
        ('async () => { const { success } = await import("@qi/base"); success(1); }', SUCCESS),
        ('import("@qi/base").then(({ success }) => success(1));', SUCCESS),
        ('import("@qi/base").then(({ success: ok }) => { ok(1); });', SUCCESS),
        ('import("@qi/base").then((qi) => qi.success(1));', SUCCESS),
        ('import("@qi/base").then(qi => qi.success(1));', SUCCESS),
        ('import("@qi/base").then(function (qi) { qi.success(1); });', SUCCESS),
        (
            'const { MemoryCache } = await import("@qi/core"); new MemoryCache();',
            ["@qi/core:MemoryCache new"],
        ),
        (
            'new (await import("@qi/core")).MemoryCache();',
            ["@qi/core:MemoryCache new"],
        ),
        ('const { ConfigBuilder: B } = await import("@qi/core"); B.fromObject({});', STATIC),
        ('const { success } = import("@qi/base"); success(1);', []),
        ('const { success } = await import("other"); success(1);', []),
        ("const { success } = await import(name); success(1);", []),
        ('let { success } = await import("@qi/base"); success(1);', []),
        ('(await import("@qi/base")).unknown(1);', []),
        ('(await import("other")).success(1);', []),
        ('import("@qi/base").success(1);', []),
        ('import("@qi/base").catch(({ success }) => success(1));', []),
        ('import("other").then(({ success }) => success(1));', []),
        ('{ const { success } = await import("@qi/base"); } success(1);', []),
        (
            'const { success } = await import("@qi/base"); const g = { success }; g.success(1);',
            [],
        ),
    ],
)
def test_a_dynamic_import_binds_where_its_names_are_visible(text: str, expected: list[str]) -> None:
    assert called(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('import { map } from "@qi/base"; const m = map; m(f, x);', MAP),
        ('import { map } from "@qi/base"; const m = map; const n = m; n(f, x);', MAP),
        ('import { map } from "@qi/base"; function g() { const m = map; m(f, x); }', MAP),
        ('import * as qi from "@qi/base"; const m = qi.map; m(f, x);', MAP),
        ('import * as qi from "@qi/base"; const { map } = qi; map(f, x);', MAP),
        ('import * as qi from "@qi/base"; const q = qi; q.map(f, x);', MAP),
        (
            'import { ConfigBuilder } from "@qi/core"; const B = ConfigBuilder; B.fromObject({});',
            STATIC,
        ),
        ('import { map } from "@qi/base"; let m = map; m(f, x);', []),
        ('import { map } from "@qi/base"; const m: F = map; m(f, x);', []),
        ('import { map } from "@qi/base"; const m = x ? map : f; m(f, x);', []),
        ('import { map } from "@qi/base"; { const m = map; } m(f, x);', []),
        ('import { map } from "@qi/base"; function g(map: F) { const m = map; m(f, x); }', []),
        ('import * as qi from "@qi/base"; const { other: map } = qi; map(f, x);', []),
    ],
)
def test_a_constant_that_only_renames_an_import_is_that_import(
    text: str, expected: list[str]
) -> None:
    assert called(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('import { map } from "@qi/base"; (map)(f, x); map!(f, x);', [*MAP, *MAP]),
        (
            'import * as qi from "@qi/base"; qi["map"](f, x); qi?.map(f, x); (qi.map)(f, x);',
            [*MAP] * 3,
        ),
        ('import { ConfigBuilder } from "@qi/core"; (ConfigBuilder).fromObject({});', STATIC),
        ('import * as qi from "@qi/core"; qi.ConfigBuilder.fromObject({});', STATIC),
        ('import { ConfigBuilder } from "@qi/core"; ConfigBuilder["fromObject"]({});', STATIC),
        ('import { ConfigBuilder } from "@qi/core"; ConfigBuilder.build();', []),
        ('import { ConfigBuilder } from "@qi/core"; ConfigBuilder.nothing();', []),
        ('import { createLogger } from "@qi/core"; createLogger.call(x, y);', []),
        ('import * as qi from "@qi/base"; qi.map.call(f, x); qi[map](f, x);', []),
        ('import { map } from "@qi/base"; "map(f, x)"; `${map}`; // map(f, x)', []),
    ],
)
def test_what_is_called_may_be_wrapped_but_must_be_called(text: str, expected: list[str]) -> None:
    assert called(text) == expected


def test_two_imports_may_swap_their_names() -> None:
    text = (
        'import { create as validationError, validationError as create } from "@qi/base";'
        "create(''); validationError('');"
    )
    assert called(text) == ["@qi/base:validationError direct", "@qi/base:create direct"]


@pytest.mark.parametrize(
    ("barrel", "text", "expected"),
    [
        ('export { map } from "@qi/base";', 'import { map } from "./qi.js"; map(f, x);', MAP),
        ('export { map as m } from "@qi/base";', 'import { m } from "./qi.js"; m(f, x);', MAP),
        ('export * from "@qi/base";', 'import { map } from "./qi.js"; map(f, x);', MAP),
        ('export * from "@qi";', 'import { map } from "./qi"; map(f, x);', MAP),
        (
            'import { map as m } from "@qi/base"; export { m };',
            'import { m } from "./qi.js"; m(f, x);',
            MAP,
        ),
        ('export * as base from "@qi/base";', 'import { base } from "./qi"; base.map(f, x);', MAP),
        (
            'import * as base from "@qi/base"; export { base };',
            'import { base } from "./qi"; base.map(f, x);',
            MAP,
        ),
        (
            'export * as base from "@qi/base";',
            'import * as qi from "./qi"; qi.base.map(f, x);',
            MAP,
        ),
        (
            'export { map as default } from "@qi/base";',
            'import m from "./qi"; import { default as n } from "./qi"; m(f, x); n(f, x);',
            [*MAP, *MAP],
        ),
        ('export { map } from "@qi/base";', 'import { success } from "./qi"; success(1);', []),
        ("export const map = f;", 'import { map } from "./qi"; map(f, x);', []),
        (
            'export const map = f; export * from "@qi/base";',
            'import { map } from "./qi"; map(f, x);',
            [],
        ),
        ('export type { map } from "@qi/base";', 'import { other } from "./qi"; other(f, x);', []),
        ('export * as base from "./other";', 'import { base } from "./qi"; base.map(f, x);', []),
    ],
)
def test_a_barrel_of_an_app_passes_the_library_on(
    barrel: str, text: str, expected: list[str]
) -> None:
    files = {"app/demo/src/qi.ts": barrel, "app/demo/src/other.ts": "export const map = f;"}
    assert called(text, APP, files) == expected


def test_a_group_that_the_library_exports_is_a_namespace() -> None:
    files = {
        **LIBRARY,
        "lib/base/src/index.ts": 'export * from "./result.js"; export * as group from "./result.js";',
    }
    text = 'import { group } from "@qi/base"; group.map(f, x); group.hidden(1);'
    assert called(text, APP, files) == MAP
    text = 'import * as qi from "@qi/base"; qi.group.map(f, x); qi.other.map(f, x);'
    assert called(text, APP, files) == MAP


def test_a_subpath_reaches_what_its_file_exports_and_no_more() -> None:
    files = {"lib/core/src/logger.ts": 'export { createLogger } from "./services.js";'}
    text = 'import { createLogger } from "@qi/core/logger"; createLogger({});'
    assert called(text, APP, files) == ["@qi/core:createLogger direct"]
    text = 'import { createMemoryCache } from "@qi/core/logger"; createMemoryCache();'
    assert called(text, APP, files) == []


def test_a_static_member_may_be_inherited() -> None:
    text = (
        'import { ConfigBuilder } from "@qi/core";'
        "class Own extends ConfigBuilder { static make() {} } Own.fromObject({}); Own.make();"
    )
    assert called(text) == STATIC
