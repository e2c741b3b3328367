"""Units as complete modules: what is imported, what is inlined, what is left out."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from tree_sitter import Node

from qi_pipeline.extraction import assembly
from qi_pipeline.extraction.syntax import parse_module, syntax_error_line
from qi_pipeline_tests.extraction.planted import APP, DOC, extract, pattern_of

SIBLING = "app/demo/src/util.ts"
TEST = "lib/tests/base/a.test.ts"


def module_of(root: Path, text: str, others: dict[str, str] | None = None) -> str:
    """Return the assembled module of the unit `unit` in `text`."""
    module = pattern_of(root, "unit", {APP: text, **(others or {})}).implementation
    assert syntax_error_line(parse_module(module)) is None
    return module


def test_only_the_imports_in_use_are_kept(tmp_path: Path) -> None:
    text = """import { success, map } from "@qi/base";
import fs, { join } from "node:fs";
import * as path from "node:path";
import "side-effect";
const unit = () => success(join("a"));
const other = () => map(path.sep, fs);
"""
    assert module_of(tmp_path, text) == (
        'import { success } from "@qi/base";\nimport { join } from "node:fs";\n\n'
        'export const unit = () => success(join("a"));\n'
    )


def test_default_namespace_alias_and_type_imports_keep_their_form(tmp_path: Path) -> None:
    text = """import { success as ok, type Result } from "@qi/base";
import type { A } from "a";
import fs from "node:fs";
import * as path from "node:path";
import { type B, c } from "b";
export const unit = (a: A, b: B): Result<number> => ok(fs.f(path.g(c)));
"""
    assert module_of(tmp_path, text).split("\n\n")[0] == (
        'import { type Result, success as ok } from "@qi/base";\n'
        'import type { A } from "a";\n'
        'import { type B, c } from "b";\n'
        'import fs from "node:fs";\n'
        'import * as path from "node:path";'
    )


def test_a_library_type_is_imported_as_a_type_even_if_the_file_did_not_say_so(
    tmp_path: Path,
) -> None:
    text = 'import { success, Result } from "@qi/base"; const unit = (): Result<1> => success(1);'
    assert 'import { type Result, success } from "@qi/base";' in module_of(tmp_path, text)


def test_helpers_and_types_are_inlined_transitively_in_file_order(tmp_path: Path) -> None:
    text = """import { success } from "@qi/base";
interface Deep { x: number }
type Shallow = Deep[];
/** Doc of the helper. */
export const limit = 3;
function unused() {}
const helper = (s: Shallow) => s.slice(0, limit);
export const unit = () => success(helper([]));
"""
    assert module_of(tmp_path, text) == (
        'import { success } from "@qi/base";\n\ninterface Deep { x: number }\n\n'
        "type Shallow = Deep[];\n\nconst limit = 3;\n\n"
        "const helper = (s: Shallow) => s.slice(0, limit);\n\n"
        "export const unit = () => success(helper([]));\n"
    )


def test_helpers_of_sibling_files_are_inlined_with_their_own_imports(tmp_path: Path) -> None:
    text = """import { success } from "@qi/base";
import { helper as help } from "./util.js";
export const unit = () => success(help(1));
"""
    sibling = """import { create } from "@qi/base";
import z from "zod";
const inner = (n: number) => z.number(create("", n));
export function helper(n: number) { return inner(n); }
"""
    module = module_of(tmp_path, text, {SIBLING: sibling})
    assert module == (
        'import { create, success } from "@qi/base";\nimport z from "zod";\n\n'
        'const inner = (n: number) => z.number(create("", n));\n\n'
        "function help(n: number) { return inner(n); }\n\n"
        "export const unit = () => success(help(1));\n"
    )


def test_default_exports_of_sibling_files_are_inlined(tmp_path: Path) -> None:
    text = (
        'import { success } from "@qi/base"; import h from "./util";'
        "const unit = () => success(h());"
    )
    module = module_of(tmp_path, text, {SIBLING: "export default function helper() { return 1; }"})
    assert "function h() { return 1; }" in module
    assert "./util" not in module


def test_names_that_two_files_use_for_different_things_are_told_apart(tmp_path: Path) -> None:
    text = """import { success } from "@qi/base";
import { helper } from "./util";
const limit = 1;
export const unit = () => success(helper(limit));
"""
    sibling = """import { create as success } from "@qi/base";
const limit = 2;
export const helper = (n: number, o = { limit, n: o.limit }) => {
  const inner = (limit: string) => limit;
  return success(`${limit}`, inner("limit"));
};
"""
    module = module_of(tmp_path, text, {SIBLING: sibling})
    assert module == (
        'import { success, create as success2 } from "@qi/base";\n\n'
        "const limit2 = 2;\n\n"
        "const helper = (n: number, o = { limit: limit2, n: o.limit }) => {\n"
        "  const inner = (limit: string) => limit;\n"
        '  return success2(`${limit2}`, inner("limit"));\n'
        "};\n\nconst limit = 1;\n\nexport const unit = () => success(helper(limit));\n"
    )


def test_a_helper_named_like_the_unit_gives_way(tmp_path: Path) -> None:
    text = (
        'import { success } from "@qi/base"; import { a } from "./util";'
        "const unit = () => success(a);"
    )
    module = module_of(tmp_path, text, {SIBLING: "const unit = 1; export const a = unit;"})
    assert "const unit2 = 1;\n\nconst a = unit2;\n\nexport const unit = () => success(a);" in module


def test_one_thing_imported_twice_keeps_both_names_in_the_unit(tmp_path: Path) -> None:
    text = """import { success } from "@qi/base";
import { type Queue, Queue as Impl } from "queue";
export const unit = (q: Queue) => success(q ?? new Impl());
"""
    assert 'import { Queue as Impl, type Queue } from "queue";' in module_of(tmp_path, text)


def test_a_type_import_of_one_file_and_a_value_import_of_another_make_a_value_import(
    tmp_path: Path,
) -> None:
    text = """import { success } from "@qi/base";
import type { Queue } from "queue";
import { make } from "./util";
export const unit = (q: Queue) => success(make(q));
"""
    sibling = 'import { Queue } from "queue"; export const make = (q: Queue) => new Queue(q);'
    assert 'import { Queue } from "queue";' in module_of(tmp_path, text, {SIBLING: sibling})
    swapped = text.replace("import type", "import").replace("make(q)", "make(new Queue(q))")
    sibling = 'import type { Queue } from "queue"; export const make = (q: Queue) => q;'
    assert 'import { Queue } from "queue";' in module_of(tmp_path, swapped, {SIBLING: sibling})


@pytest.mark.parametrize(
    ("use", "imported"),
    [
        ("(q: Queue) => success(q)", "import type { Queue }"),
        ("(q: Map<string, Queue[]>) => success(q)", "import type { Queue }"),
        ("() => success(new Queue())", "import { Queue }"),
        ("(q: Queue) => success(q instanceof Queue)", "import { Queue }"),
        ("() => success(class extends Queue {})", "import { Queue }"),
        ("() => success(class implements Queue {})", "import type { Queue }"),
        ("() => success({ Queue })", "import { Queue }"),
    ],
)
def test_what_only_types_need_is_imported_as_a_type(
    tmp_path: Path, use: str, imported: str
) -> None:
    text = f"""import {{ success }} from "@qi/base";
import {{ Queue }} from "queue";
export const unit = {use};
"""
    assert f'{imported} from "queue";' in module_of(tmp_path, text)


def test_what_the_library_exports_is_imported_and_never_inlined(tmp_path: Path) -> None:
    text = (
        'import { success } from "../../../lib/base/src/result.js"; const unit = () => success(1);'
    )
    assert module_of(tmp_path, text) == (
        'import { success } from "@qi/base";\n\nexport const unit = () => success(1);\n'
    )


def test_a_library_unit_imports_its_neighbours_and_inlines_internals(tmp_path: Path) -> None:
    files = {
        "lib/base/src/index.ts": 'export * from "./result.js"; export { unit } from "./more.js";',
        "lib/base/src/more.ts": (
            'import { success, type Result } from "./result.js"; const hidden = 1;\n'
            "export const unit = (): Result<number> => success(hidden);"
        ),
    }
    assert pattern_of(tmp_path, "unit", files).implementation == (
        'import { type Result, success } from "@qi/base";\n\nconst hidden = 1;\n\n'
        "export const unit = (): Result<number> => success(hidden);\n"
    )


@pytest.mark.parametrize(
    "body",
    [
        "(helper: number) => success(helper)",
        "() => { const helper = 1; return success(helper); }",
        "<helper,>(x: helper) => success(x)",
        "(x: NS.helper) => success(x.helper)",
        "(x: [helper: number, n: 1]) => success({ helper: 1 })",
        "(x: { [helper: string]: number }) => success(x)",
    ],
)
def test_a_hidden_or_merely_equal_name_inlines_nothing(body: str, tmp_path: Path) -> None:
    text = (
        'import { success } from "@qi/base"; import * as NS from "ns";\n'
        f"type helper = 1; const helper = 2;\nexport const unit = {body};"
    )
    assert "helper = " not in module_of(tmp_path, text).partition("export const")[0]


def test_overloads_and_a_type_beside_its_value_stay_together(tmp_path: Path) -> None:
    text = """import { success } from "@qi/base";
const Id = z.string();
type Id = string;
function helper(a: string): void;
function helper(a: Id) {}
export function unit(a: string): void;
export function unit(a: number): void;
export function unit(a: unknown) { success(helper(a)); }
"""
    module = module_of(tmp_path, text)
    for line in text.splitlines()[1:]:
        assert line in module


def test_a_default_export_stays_one_and_a_doc_comment_stays_on_top(tmp_path: Path) -> None:
    text = (
        'import { success } from "@qi/base";\n/** Why. */\n'
        "export default function unit() { success(1); }"
    )
    assert module_of(tmp_path, text).endswith(
        "\n\n/** Why. */\nexport default function unit() { success(1); }\n"
    )
    text = text.replace("export default ", "")
    assert module_of(tmp_path, text).endswith(
        "/** Why. */\nexport function unit() { success(1); }\n"
    )


def test_carriage_returns_do_not_reach_the_module(tmp_path: Path) -> None:
    text = 'import { success } from "@qi/base";\r\nconst unit = () =>\r\n  success(1);\r\n'
    assert "\r" not in module_of(tmp_path, text)


def test_a_test_keeps_the_setup_it_needs_and_loses_its_siblings(tmp_path: Path) -> None:
    text = """import { describe, it, expect, beforeEach, vi } from "vitest";
import { success, map, create } from "@qi/base";
vi.mock("net");
const cases = [1];
const unused = create("A", "B");
describe.each(cases)("outer %s", () => {
  let state = 0;
  const fixture = () => success(state);
  const idle = 1;

  beforeEach(() => {
    state = 1;
  });

  it("sibling", () => { map(f, fixture()); });

  describe("inner", () => {
    it("works", () => {
      expect(fixture()).toEqual(success(1));
    });
  }, 500);
});
"""
    module = pattern_of(tmp_path, "outer %s > inner > works", {TEST: text}).implementation
    assert (
        module
        == """import { success } from "@qi/base";
import { beforeEach, describe, expect, it, vi } from "vitest";

const cases = [1];

vi.mock("net");

describe.each(cases)("outer %s", () => {
  let state = 0;
  const fixture = () => success(state);
  beforeEach(() => {
    state = 1;
  });

  describe("inner", () => {
    it("works", () => {
      expect(fixture()).toEqual(success(1));
    });
  }, 500);
});
"""
    )


def test_a_block_without_imports_gets_those_it_needs_and_exports_its_definitions(
    tmp_path: Path,
) -> None:
    text = """# Guide

```ts
const map = 1
function load(match: number): Result<number> { return success(match) }
const answer = load(map)
```
"""
    pattern = pattern_of(tmp_path, "Guide", {DOC: text})
    assert (
        pattern.implementation
        == """import { type Result, success } from "@qi/base";

const map = 1
export function load(match: number): Result<number> { return success(match) }
const answer = load(map)
"""
    )
    assert pattern.metadata.dependencies == ("@qi/base",)


def test_a_block_with_imports_and_exports_is_left_as_it_is(tmp_path: Path) -> None:
    code = 'import { success } from "@qi/base";\nexport const a = success(1);\nfunction b() {}\n'
    pattern = pattern_of(tmp_path, "guide", {DOC: f"```ts\n{code}```"})
    assert pattern.implementation == code


def test_members_of_a_sibling_s_namespace_are_inlined_under_their_own_names(
    tmp_path: Path,
) -> None:
    text = """import { success } from "@qi/base";
import * as util from "./util.js";
const one = 1;
export const unit = (x: util.Shape) => success(util.one(x, "util.one", (util: any) => util.one));
"""
    sibling = """export interface Shape { a: number }
export const one = (x: Shape, ...rest: unknown[]) => x.a;
export const unused = 2;
"""
    assert module_of(tmp_path, text, {SIBLING: sibling}) == (
        'import { success } from "@qi/base";\n\n'
        "interface Shape { a: number }\n\n"
        "const one = (x: Shape, ...rest: unknown[]) => x.a;\n\n"
        "export const unit = (x: Shape) => "
        'success(one(x, "util.one", (util: any) => util.one));\n'
    )


def test_a_namespace_of_the_library_s_own_file_is_imported_from_its_package(
    tmp_path: Path,
) -> None:
    text = (
        'import * as base from "../../../lib/base/src/index.js";\n'
        "export const unit = () => base.success(1);"
    )
    assert module_of(tmp_path, text) == (
        'import * as base from "@qi/base";\n\nexport const unit = () => base.success(1);\n'
    )


def test_a_test_may_use_a_sibling_s_namespace(tmp_path: Path) -> None:
    text = """import { success } from "@qi/base";
import * as util from "./util.js";
describe("g", () => {
  const made = util.make();
  it("unit", () => { success(made); });
});
"""
    files = {TEST: text, "lib/tests/base/util.ts": "export const make = () => 1;"}
    module = pattern_of(tmp_path, "g > unit", files).implementation
    assert "const make = () => 1;" in module
    assert "const made = make();" in module


@pytest.mark.parametrize(
    ("text", "sibling", "reason"),
    [
        (
            'import * as util from "./util.js"; const unit = () => success(Object.keys(util));',
            "export const a = 1;",
            "uses util, the namespace of a sibling file, as a value",
        ),
        (
            'import { a } from "./missing.js"; const unit = () => success(a);',
            "",
            "imports ./missing.js, which is no source file",
        ),
        (
            'import { a } from "./util.js"; const unit = () => success(a);',
            f"export const a = [\n{'1,' + chr(10)}{'2,' + chr(10) * 500}];",
            "too large: over 500 lines with its helpers",
        ),
    ],
)
def test_a_unit_that_is_no_complete_thing_is_left_out_with_the_reason(
    text: str, sibling: str, reason: str, tmp_path: Path
) -> None:
    app = f'import {{ success }} from "@qi/base";\n{text}\nconst other = () => success(1);\n'
    found = extract(tmp_path, {APP: app, SIBLING: sibling})
    assert [(item.file, item.line, item.container, item.reason) for item in found.left_out] == [
        (APP, 2, "unit", reason)
    ]
    assert "other" in {pattern.container for pattern in found.patterns}


@pytest.mark.parametrize(
    ("imports", "completed"),
    [
        (
            'import { success } from "@qi/base";\n',
            'import { success, type Result, map } from "@qi/base";\n',
        ),
        (
            'import { success as ok } from "@qi/base";\n',
            'import { success as ok, type Result, map, success } from "@qi/base";\n',
        ),
        (
            'import { z } from "zod";\n',
            'import { type Result, map, success } from "@qi/base";\nimport { z } from "zod";\n',
        ),
        (
            'import type { Result } from "@qi/base";\n',
            'import { map, success } from "@qi/base";\nimport type { Result } from "@qi/base";\n',
        ),
        (
            'import {\n  success,\n  map,\n} from "@qi/base";\n',
            'import {\n  success,\n  map, type Result,\n} from "@qi/base";\n',
        ),
    ],
)
def test_the_imports_that_a_block_forgot_are_added(
    imports: str, completed: str, tmp_path: Path
) -> None:
    code = "const a: Result<number> = map((x) => x, success(1))\n"
    pattern = pattern_of(tmp_path, "guide", {DOC: f"```ts\n{imports}{code}```"})
    assert pattern.implementation == completed + code
    expected = {"@qi/base", *(["zod"] if "zod" in imports else [])}
    assert set(pattern.metadata.dependencies) == expected


def test_calls_of_a_block_that_leaves_an_import_out_are_recorded_at_their_place(
    tmp_path: Path,
) -> None:
    code = 'import { success } from "@qi/base"\nfunction f() {\n  return map(x, success(1))\n}\n'
    found = extract(tmp_path, {DOC: f"# A\n\n```ts\n{code}```"})
    assert [(i.call.symbol, i.call.line, i.call.column) for i in found.calls if i.file == DOC] == [
        ("map", 6, 10),
        ("success", 6, 17),
    ]
    (pattern,) = (p for p in found.patterns if p.metadata.source_file == DOC)
    assert pattern.symbols == ("@qi/base:map", "@qi/base:success")


@pytest.mark.parametrize("code", ["success(1)\n", "await f(success(1));\nmap(f, r)\n"])
def test_a_block_of_bare_calls_is_left_out(code: str, tmp_path: Path) -> None:
    found = extract(tmp_path, {DOC: f"# A\n\n```ts\n{code}```"})
    assert not [p for p in found.patterns if p.metadata.source_file == DOC]
    assert [(i.file, i.line, i.container) for i in found.left_out] == [(DOC, 4, "A")]


def test_a_block_of_test_cases_is_whole(tmp_path: Path) -> None:
    text = '# A\n\n```ts\nit("works", () => { success(1); });\n```'
    assert pattern_of(tmp_path, "A", {DOC: text}).symbols == ("@qi/base:success",)


def test_a_block_that_only_declares_types_uses_nothing(tmp_path: Path) -> None:
    found = extract(tmp_path, {DOC: "```ts\ntype A = Result<number>\n```"})
    assert not [p for p in found.patterns if p.metadata.source_file == DOC]
    assert found.left_out == ()


def test_the_work_for_a_chain_of_helpers_does_not_grow_with_the_square_of_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    length, limit, steps = 300, 2_000, 0
    count = assembly._Draft.count

    def counted(draft: assembly._Draft, nodes: Iterable[Node]) -> None:
        nonlocal steps
        steps += 1
        count(draft, nodes)

    monkeypatch.setattr(assembly, "MAX_FILE_LINES", limit)
    monkeypatch.setattr(assembly._Draft, "count", counted)
    chain = [f"function f{i}(x: number) {{ return success(f{i + 1}(x)); }}" for i in range(length)]
    text = "\n".join(['import { success } from "@qi/base";', *chain])
    end = f"function f{length}(x: number) {{ return success(x); }}"
    found = extract(tmp_path, {APP: f"{text}\n{end}"})
    assert steps <= limit + 2 * length
    reason = "its file is too large: over 2000 lines with the helpers of each unit"
    assert {item.reason for item in found.left_out} == {reason}
    containers = {pattern.container for pattern in found.patterns}
    assert {"f0", "f1"} <= containers
    assert f"f{length}" not in containers
