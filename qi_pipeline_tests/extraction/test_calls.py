"""Which calls reach the library, and where they stand."""

import pytest

from qi_pipeline_tests.extraction.planted import called, calls_in

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
