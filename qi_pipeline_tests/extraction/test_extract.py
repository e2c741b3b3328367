"""From a snapshot to rows: identity, order, coverage, and what cannot be read."""

import gc
import json
import weakref
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.exports import LibraryExports
from qi_pipeline.extraction.extract import Extraction, extract_patterns
from qi_pipeline.extraction.files import FileExtractor
from qi_pipeline_tests.extraction.planted import (
    APP,
    DOC,
    LIBRARY,
    PROFILE,
    extract,
    pattern_of,
    plant,
)

TEST = "lib/tests/base/a.test.ts"
NOTEBOOK = "docs/tutorial/a.ipynb"
CODE = """import { success, map } from "@qi/base";
const a = () => success(1);
function b() { return map(f, success(2)); }
class C { m() { return success(3); } }
export const d = success(4);
"""
CASES = """import { success } from "@qi/base";
describe("g", () => {
  it("x", () => { success(1); });
  it("x", () => { success(2); });
});
"""
GUIDE = """# A

```ts
const a = success(1)
```

```ts
const a = success(2)
```

## B

```ts
const mapped = map(f, r)
```
"""


def notebook(*sources: str) -> str:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": cells, "metadata": {"language_info": {"name": "typescript"}}})


FILES = {
    APP: CODE,
    TEST: CASES,
    DOC: GUIDE,
    NOTEBOOK: notebook("const n = success(1)", "let m = map(f, r)"),
}


def planted_ids(extraction: Extraction) -> set[str]:
    return {p.id for p in extraction.patterns if p.metadata.source_file in FILES}


def test_ids_are_unique(tmp_path: Path) -> None:
    patterns = extract(tmp_path, FILES).patterns
    assert len({pattern.id for pattern in patterns}) == len(patterns)
    assert len(planted_ids(extract(tmp_path, FILES))) == 11


@settings(deadline=None, max_examples=30)
@given(
    above=st.lists(st.sampled_from(["", "// note", "type T = 1;", "const z = 1;"]), max_size=6),
    inside=st.sampled_from(["", "\n\n\n", "\n// note\n"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_an_id_survives_lines_and_formatting_above(
    tmp_path_factory: pytest.TempPathFactory, above: list[str], inside: str, end: str
) -> None:
    def edited(text: str) -> str:
        head, _, rest = text.partition("\n")
        return end.join([head, *above, rest.replace("{ ", "{ " + inside).replace("\n", end)])

    moved = {
        APP: edited(CODE),
        TEST: edited(CASES),
        DOC: "\n".join(["Intro.", *("" for _ in above), GUIDE]),
        NOTEBOOK: FILES[NOTEBOOK],
    }
    before = extract(tmp_path_factory.mktemp("before"), FILES)
    after = extract(tmp_path_factory.mktemp("after"), moved)
    assert planted_ids(before) == planted_ids(after)


def test_an_id_changes_with_path_and_name(tmp_path: Path) -> None:
    first = planted_ids(extract(tmp_path / "1", {APP: CODE}))
    renamed = planted_ids(extract(tmp_path / "2", {APP: CODE.replace("const a", "const other")}))
    assert len(first & renamed) == len(first) - 1
    moved = extract(tmp_path / "3", {"app/moved/src/index.ts": CODE}).patterns
    assert not first & {pattern.id for pattern in moved}


def test_the_order_of_files_changes_nothing(tmp_path: Path) -> None:
    bad = {f"app/demo/src/bad{n}.ts": "const = ;" for n in range(3)}
    files = {**FILES, **bad, "docs/tutorial/bad.ipynb": "{"}
    snapshot = plant(tmp_path, {**LIBRARY, **files})
    backwards = snapshot.model_copy(update={"files": tuple(reversed(snapshot.files))})
    assert extract_patterns(snapshot, PROFILE) == extract_patterns(backwards, PROFILE)


def test_what_cannot_be_read_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = "\nconst a = success(;\n"
    files: dict[str, str | bytes] = {
        **FILES,
        "app/demo/src/bad.ts": bad,
        "docs/tutorial/bad.md": f"```ts\n{bad}```\n\n# Good\n\n```ts\nlet a = success(1)\n```",
        "docs/tutorial/bad.ipynb": "{",
        "docs/tutorial/half.ipynb": notebook("let a = success(1)", bad),
    }
    extraction = extract(tmp_path, files)
    assert [(item.file, item.line) for item in extraction.unreadable] == [
        ("app/demo/src/bad.ts", 2),
        ("docs/tutorial/bad.ipynb", 1),
        ("docs/tutorial/bad.md", 3),
        ("docs/tutorial/half.ipynb#cell=1", 2),
    ]
    containers = {(p.metadata.source_file, p.container) for p in extraction.patterns}
    assert ("docs/tutorial/bad.md", "Good") in containers
    assert ("docs/tutorial/half.ipynb", "half") in containers
    assert planted_ids(extraction) == planted_ids(extract(tmp_path / "good", FILES))
    assert extraction.files_read == len(LIBRARY) + len(files)


SURROGATE = (
    b'{"cells": [{"cell_type": "code", "source": "success(\'\\ud83d\')"}],'
    b' "metadata": {"language_info": {"name": "typescript"}}}'
)


@pytest.mark.parametrize("path", [APP, DOC, NOTEBOOK, TEST])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"const a = '\0';\n\0",
        b"\xff\xfe\x00",
        b"\xef\xbb\xbfconst a = 1;",
        b"\r\n\r\n```ts\r\n\0\r\n",
        b"\r\r",
        SURROGATE,
    ],
)
def test_no_content_stops_a_run(path: str, content: bytes, tmp_path: Path) -> None:
    extraction = extract(tmp_path, {path: content})
    for pattern in extraction.patterns:
        assert pattern.model_dump_json().encode()


def test_a_snapshot_without_the_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="no entry file"):
        extract_patterns(plant(tmp_path, {APP: CODE}), PROFILE)


def test_what_an_extraction_needed_goes_with_it_without_a_search_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[object]] = []
    start = FileExtractor.__init__

    def started(self: FileExtractor, library: LibraryExports) -> None:
        assert not gc.isenabled()
        start(self, library)
        made.extend([weakref.ref(self), weakref.ref(self.resolver), weakref.ref(library)])

    monkeypatch.setattr(FileExtractor, "__init__", started)
    snapshot = plant(tmp_path, {**LIBRARY, **FILES})
    gc.disable()
    try:
        found = extract_patterns(snapshot, PROFILE)
        assert not gc.isenabled()
        assert found.patterns
        del found
        assert [one() for one in made] == [None, None, None]
    finally:
        gc.enable()
    with pytest.raises(QiPipelineError, match="no entry file"):
        extract_patterns(plant(tmp_path / "empty", {APP: CODE}), PROFILE)
    assert gc.isenabled()


def test_a_row_says_where_it_comes_from(tmp_path: Path) -> None:
    pattern = pattern_of(tmp_path, "b", {APP: CODE})
    assert pattern.symbols == ("@qi/base:map", "@qi/base:success")
    assert pattern.metadata.source_file == APP
    assert pattern.metadata.line_range == (3, 3)
    assert pattern.metadata.dependencies == ("@qi/base",)
    assert (pattern.commit, pattern.source_kind, len(pattern.blob)) == ("c" * 40, "app", 40)


def test_the_line_range_of_a_block_is_that_of_its_code(tmp_path: Path) -> None:
    pattern = pattern_of(tmp_path, "A", {DOC: "# A\n\n```ts\nlet a = 1\n\nmap(f, r)\n```\n"})
    assert pattern.metadata.line_range == (4, 6)


def test_a_unit_is_covered_when_a_test_reaches_its_symbols(tmp_path: Path) -> None:
    app = (
        'import { success, map } from "@qi/base"; import { ConfigBuilder } from "@qi/core";\n'
        "const one = () => success(1); const two = () => map(f, success(1));\n"
        "const three = () => ConfigBuilder.fromObject({});"
    )
    test = (
        'import { success } from "@qi/base"; import { ConfigBuilder } from "@qi/core";\n'
        'it("a", () => { success(1); ConfigBuilder.fromObject({}); });'
    )
    patterns = extract(tmp_path, {APP: app, TEST: test}).patterns
    covered = {p.container: p.metadata.test_coverage for p in patterns if p.source_kind == "app"}
    assert covered == {"one": True, "two": False, "three": True}


def test_a_library_function_is_covered_by_calls_of_itself_not_of_what_it_calls(
    tmp_path: Path,
) -> None:
    test = 'import { success } from "@qi/base"; it("a", () => { success(1); });'
    patterns = extract(tmp_path, {TEST: test}).patterns
    assert not next(p for p in patterns if p.container == "map").metadata.test_coverage
    direct = test.replace("success", "map")
    patterns = extract(tmp_path / "2", {TEST: direct}).patterns
    assert next(p for p in patterns if p.container == "map").metadata.test_coverage


def test_every_call_is_recorded_in_order_with_its_file(tmp_path: Path) -> None:
    extraction = extract(tmp_path, {APP: CODE})
    own = [item.record() for item in extraction.calls if item.file == APP]
    assert [(r["line"], r["symbol"]) for r in own] == [
        (2, "success"),
        (3, "map"),
        (3, "success"),
        (4, "success"),
        (5, "success"),
    ]
    assert own[0] == {
        "file": APP,
        "line": 2,
        "column": 17,
        "symbol": "success",
        "package": "@qi/base",
        "form": "direct",
        "source_kind": "app",
    }


def test_an_import_of_a_name_the_library_lost_is_kept_as_it_was(tmp_path: Path) -> None:
    text = 'import { success, isOk } from "@qi/base"; const unit = () => isOk(success(1));'
    implementation = pattern_of(tmp_path, "unit", {APP: text}).implementation
    assert 'import { isOk, success } from "@qi/base";' in implementation


def test_a_unit_that_only_calls_members_counts_as_using_their_class(tmp_path: Path) -> None:
    text = (
        'import type { MemoryCache } from "@qi/core";\n'
        "export const first = (cache: MemoryCache) => cache.get('a');\n"
    )
    pattern = pattern_of(tmp_path, "first", {APP: text})
    assert pattern.symbols == ("@qi/core:MemoryCache",)
    assert pattern.type == "cache_patterns"
    (call,) = (item.record() for item in extract(tmp_path, {APP: text}).calls if item.file == APP)
    assert (call["symbol"], call["form"]) == ("MemoryCache.get", "instance_member")


def test_member_calls_that_syntax_leaves_open_are_counted(tmp_path: Path) -> None:
    text = (
        'import { createMemoryCache } from "@qi/core";\n'
        "export const f = () => [createMemoryCache()].filter(g).map((c) => c.get('a'));\n"
    )
    assert extract(tmp_path, {APP: text}).undecided == 1


def test_a_unit_carries_every_type_and_the_weightiest_is_its_own(tmp_path: Path) -> None:
    text = (
        'import { createLogger, createMemoryCache } from "@qi/core";\n'
        'import { success } from "@qi/base";\n'
        "export const unit = () => [createLogger({}), createMemoryCache(), success(1)];\n"
    )
    pattern = pattern_of(tmp_path, "unit", {APP: text})
    assert pattern.type == "integration_patterns"
    assert pattern.types == (
        "integration_patterns",
        "logger_integration",
        "cache_patterns",
        "result_creation",
    )


def test_a_unit_of_no_known_type_is_kept_apart(tmp_path: Path) -> None:
    files = {
        APP: 'import { extra, success } from "@qi/base";\n'
        "const a = () => extra(); const b = () => success(1);\n",
        "lib/base/src/index.ts": 'export * from "./result.js"; export * from "./extra.js";',
        "lib/base/src/extra.ts": "export const extra = () => 1;",
    }
    found = extract(tmp_path, files)
    assert [row.container for row in found.untyped] == ["a"]
    assert "a" not in {row.container for row in found.patterns}
    assert found.untyped[0].symbols == ("@qi/base:extra",)
    assert found.untyped[0].typed("result_creation").types == ("result_creation",)
