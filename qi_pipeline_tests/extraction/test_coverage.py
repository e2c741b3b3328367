"""Which tests reach what, by resolved calls through the library."""

from pathlib import Path

from qi_pipeline.extraction.pattern import PatternMetadata
from qi_pipeline_tests.extraction.planted import APP, LIBRARY, extract

FIRST = "lib/tests/base/first.test.ts"
SECOND = "lib/tests/core/second.test.ts"
MORE = """import { success } from "./result.js";
import { deep } from "./deep.js";
const hidden = () => deep();
export const outer = () => hidden();
export const lonely = () => success(1);
export const inner = () => success(2);
export const named = { inner: 1 };
"""
LIBRARY_FILES = {
    **LIBRARY,
    "lib/base/src/index.ts": 'export * from "./result.js";\nexport * from "./more.js";\n',
    "lib/base/src/more.ts": MORE,
    "lib/base/src/deep.ts": (
        'import { inner } from "./more.js";\nexport const deep = () => inner();\n'
    ),
}


def covered(root: Path, files: dict[str, str]) -> dict[str, PatternMetadata]:
    found = extract(root, {**LIBRARY_FILES, **files}, library={})
    return {
        row.container: row.metadata
        for row in (*found.patterns, *found.untyped)
        if row.source_kind != "test"
    }


def case(package: str, names: str, body: str) -> str:
    return f'import {{ {names} }} from "{package}";\nit("a", () => {{ {body} }});\n'


def test_calls_are_followed_through_internal_functions_and_files(tmp_path: Path) -> None:
    found = covered(tmp_path, {FIRST: case("@qi/base", "outer", "outer();")})
    assert found["inner"].test_coverage
    assert found["inner"].tests == (FIRST,)
    assert found["deep"].tests == (FIRST,)
    assert not found["lonely"].test_coverage
    assert found["lonely"].tests == ()


def test_a_name_without_a_call_reaches_nothing(tmp_path: Path) -> None:
    found = covered(tmp_path, {FIRST: case("@qi/base", "named", "named.inner;")})
    assert not found["inner"].test_coverage


def test_reaching_what_a_function_calls_is_not_reaching_it(tmp_path: Path) -> None:
    found = covered(tmp_path, {FIRST: case("@qi/base", "success", "success(1);")})
    assert not found["lonely"].test_coverage


def test_a_unit_of_an_app_is_covered_when_all_its_symbols_are(tmp_path: Path) -> None:
    app = (
        'import { inner, lonely, success } from "@qi/base";\n'
        "const one = () => inner(); const two = () => success(inner(), lonely());\n"
    )
    tests = {
        FIRST: case("@qi/base", "outer", "outer();"),
        SECOND: case("@qi/base", "success", "success(1);"),
    }
    found = covered(tmp_path, {APP: app, **tests})
    assert (found["one"].test_coverage, found["one"].tests) == (True, (FIRST,))
    # Some of its symbols are reached, by either test.
    assert (found["two"].test_coverage, found["two"].tests) == (False, (FIRST, SECOND))


def test_a_member_counts_as_its_class(tmp_path: Path) -> None:
    app = 'import { MemoryCache } from "@qi/core";\nconst one = () => new MemoryCache();\n'
    test = case("@qi/core", "createMemoryCache", 'createMemoryCache().get("a");')
    assert covered(tmp_path, {APP: app, SECOND: test})["one"].test_coverage
    without = {APP: app, SECOND: case("@qi/core", "createLogger", "createLogger();")}
    assert not covered(tmp_path / "without", without)["one"].test_coverage
