"""What names mean: barrels, aliases, cycles, colliding packages."""

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline_tests.extraction.planted import LIBRARY, exports

ENTRY = "lib/base/src/index.ts"


def names(files: dict[str, str]) -> dict[str, str]:
    """Return exported name to `file#declared name` of @qi/base."""
    symbols = exports(files).symbols["@qi/base"]
    return {n: f"{s.declaration.file[13:]}#{s.declaration.name}" for n, s in symbols.items()}


def test_a_barrel_passes_on_named_aliased_and_starred_exports() -> None:
    files = {
        ENTRY: 'export { a, b as bee } from "./one.js";\nexport * from "./two.js";',
        "lib/base/src/one.ts": "export const a = 1; export const b = 2; export const c = 3;",
        "lib/base/src/two.ts": "export function d() {} class E {} export { E as Eff };",
    }
    assert names(files) == {
        "a": "one.ts#a",
        "bee": "one.ts#b",
        "d": "two.ts#d",
        "Eff": "two.ts#E",
    }


def test_barrels_that_import_each_other_end() -> None:
    files = {
        ENTRY: 'export * from "./one.js"; export const a = 1;',
        "lib/base/src/one.ts": 'export * from "./index.js"; export const b = 1;',
    }
    assert names(files) == {"a": "index.ts#a", "b": "one.ts#b"}


def test_many_barrels_that_all_pass_each_other_on_are_each_read_once() -> None:
    paths = [f"lib/base/src/m{number}.ts" for number in range(40)]
    stars = "".join(f'export * from "./m{number}.js";' for number in range(40))
    files = {path: f"{stars} export const x{i} = 1;" for i, path in enumerate(paths)}
    assert len(names({ENTRY: stars, **files})) == 40


def test_an_import_that_is_exported_again_is_followed() -> None:
    files = {
        ENTRY: 'import { a as x } from "./one.js"; export { x as y };',
        "lib/base/src/one.ts": "export const a = 1;",
    }
    assert names(files) == {"y": "one.ts#a"}


def test_a_default_export_has_the_name_default_and_no_star_passes_it_on() -> None:
    files = {
        ENTRY: 'export * from "./one.js"; export { default as two } from "./two.js";',
        "lib/base/src/one.ts": "export default function one() {} export const a = 1;",
        "lib/base/src/two.ts": "const inner = 1; export default inner;",
    }
    assert names(files) == {"a": "one.ts#a", "two": "two.ts#inner"}


def test_the_members_of_an_exported_namespace_are_no_names_of_the_package() -> None:
    files = {
        ENTRY: 'export * as group from "./one.js"; export const b = 1;',
        "lib/base/src/one.ts": "export const a = 1;",
    }
    assert names(files) == {"b": "index.ts#b"}


def test_an_own_export_wins_over_a_starred_one() -> None:
    files = {
        ENTRY: 'export const a = 1; export * from "./one.js";',
        "lib/base/src/one.ts": "export const a = 2;",
    }
    assert names(files) == {"a": "index.ts#a"}


def test_destructured_and_declared_constants_are_exports() -> None:
    files = {ENTRY: "export const { a, b: [c, ...d] } = x; export declare const e: number;"}
    assert set(names(files)) == {"a", "c", "d", "e"}


def test_a_directory_stands_for_its_index_file() -> None:
    files = {
        ENTRY: 'export * from "./inner";',
        "lib/base/src/inner/index.ts": "export const a = 1;",
    }
    assert names(files) == {"a": "inner/index.ts#a"}


def test_two_packages_keep_their_colliding_names_apart() -> None:
    library = exports(LIBRARY)
    base = library.exports_of_specifier("@qi/base", "app/x.ts")["loggerError"]
    core = library.exports_of_specifier("@qi/core", "app/x.ts")["loggerError"]
    assert (base.qualified, core.qualified) == ("@qi/base:loggerError", "@qi/core:loggerError")
    assert base.declaration.file != core.declaration.file


def test_the_first_package_wins_a_collision_in_the_umbrella() -> None:
    library = exports(LIBRARY)
    assert library.exports_of_specifier("@qi", "app/x.ts")["loggerError"].package == "@qi/base"
    assert library.names_anywhere()["loggerError"].package == "@qi/base"


def test_an_internal_declaration_is_no_symbol() -> None:
    files = {**LIBRARY, "lib/base/src/internal.ts": "export const hidden = 1;"}
    library = exports(files)
    assert library.symbol_of(library.declared_in("lib/base/src/internal.ts")["hidden"]) is None


def test_a_snapshot_without_the_library_says_what_was_looked_for() -> None:
    with pytest.raises(QiPipelineError, match=r"no entry file of the library 'qicore'.*lib/base"):
        exports({"app/demo/src/index.ts": "export const a = 1;"})
