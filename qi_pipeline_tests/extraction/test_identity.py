"""Ids stay when code moves: down a file, among other declarations, into another layout."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline_tests.extraction.planted import LIBRARY, PROFILE, extract

APP = "app/demo/src/index.ts"
TEST = "lib/tests/base/a.test.ts"
DOC = "docs/tutorial/guide.md"
CODE = [
    'import { success, map } from "@qi/base";',
    "const a = () => success(1);",
    "function b() { return map(f, success(2)); }",
    "class C { m() { return success(3); } }",
]
CASES = [
    'import { success } from "@qi/base";',
    'describe("g", () => {',
    '  it("x", () => { success(1); });',
    '  it("x", () => { success(2); });',
    "});",
]
GUIDE = [
    "# A",
    "",
    "```ts",
    "const first = success(1)",
    "```",
    "",
    "```ts",
    "const second = success(2)",
    "```",
]
ADDED_CODE = [
    "",
    "// note",
    "/* a\nb */",
    "type Z = 1;",
    "const z = 1;",
    "export const y = success;",
]
ADDED_PROSE = ["", "Text.", "```ts\nconst other = map(f, success(1))\n```", "```js\nx\n```"]


def ids(root: Path, files: Mapping[str, str], containers: set[str]) -> set[str]:
    found = extract(root, files)
    rows = (*found.patterns, *found.untyped)
    assert len({row.id for row in rows}) == len(rows)
    return {
        row.id
        for row in rows
        if row.container in containers and row.metadata.source_file not in LIBRARY
    }


def with_added(lines: list[str], added: Mapping[int, list[str]], *, after: int) -> str:
    """Return the lines with others put in behind some of them, none before line `after`."""
    parts: list[str] = []
    for index, line in enumerate(lines):
        parts += [line, *(added.get(index, []) if index >= after else [])]
    return "\n".join(parts) + "\n"


def additions(pieces: list[str], lines: int) -> st.SearchStrategy[dict[int, list[str]]]:
    return st.dictionaries(
        st.integers(0, lines - 1), st.lists(st.sampled_from(pieces), max_size=3), max_size=4
    )


@settings(max_examples=40)
@given(
    code=additions(ADDED_CODE, len(CODE)),
    # Only between whole cases.
    cases=st.fixed_dictionaries({2: st.lists(st.sampled_from(["", "// note"]), max_size=3)}),
    prose=additions(ADDED_PROSE, 1),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_ids_survive_lines_comments_and_other_declarations(
    tmp_path_factory: pytest.TempPathFactory,
    code: dict[int, list[str]],
    cases: dict[int, list[str]],
    prose: dict[int, list[str]],
    end: str,
) -> None:
    containers = {"a", "b", "C", "g > x"}
    plain = {APP: "\n".join(CODE), TEST: "\n".join(CASES), DOC: "\n".join(GUIDE)}
    moved = {
        APP: with_added(CODE, code, after=0).replace("\n", end),
        TEST: with_added(CASES, cases, after=0).replace("\n", end),
        DOC: with_added(GUIDE, prose, after=0),
    }
    before = ids(tmp_path_factory.mktemp("before"), plain, containers)
    assert len(before) == 5
    assert ids(tmp_path_factory.mktemp("after"), moved, containers) == before
    blocks = ids(tmp_path_factory.mktemp("before"), {DOC: plain[DOC]}, {"A"})
    assert len(blocks) == 2
    assert ids(tmp_path_factory.mktemp("after"), {DOC: moved[DOC]}, {"A"}) >= blocks


LAYOUTS = {
    "first": {"base": "src/base", "core": "src/core", "tests": "tests"},
    "one library": {"base": "lib/src/base", "core": "lib/src/core", "tests": "lib/tests"},
    "packages": {
        "base": "packages/base/src",
        "core": "packages/core/src",
        "tests": "lib/tests",
    },
    "libraries in a folder": {
        "base": "typescript/lib/base/src",
        "core": "typescript/lib/core/src",
        "tests": "typescript/lib/tests",
        "app": "typescript/app/demo/src",
        "docs": "typescript/docs/tutorial",
    },
}


def laid_out(layout: Mapping[str, str]) -> dict[str, str]:
    files = {
        path.replace("lib/base/src", layout["base"]).replace("lib/core/src", layout["core"]): text
        for path, text in LIBRARY.items()
    }
    files[f"{layout['tests']}/base/a.test.ts"] = "\n".join(CASES)
    files[f"{layout.get('app', 'app/demo/src')}/index.ts"] = "\n".join(CODE)
    files[f"{layout.get('docs', 'docs/tutorial')}/guide.md"] = "\n".join(GUIDE)
    return files


def all_ids(root: Path, files: Mapping[str, str]) -> set[str]:
    found = extract(root, files, library={})
    ids = [row.id for row in (*found.patterns, *found.untyped)]
    assert len(set(ids)) == len(ids)
    return set(ids)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_survive_a_new_layout_of_the_repository(layout: str, tmp_path: Path) -> None:
    here = {"base": "lib/base/src", "core": "lib/core/src", "tests": "lib/tests"}
    before = all_ids(tmp_path / "before", laid_out(here))
    assert len(before) == 15
    assert all_ids(tmp_path / "after", laid_out(LAYOUTS[layout])) == before


def test_two_layouts_side_by_side_share_no_id(tmp_path: Path) -> None:
    old = laid_out(LAYOUTS["one library"])
    new = laid_out(LAYOUTS["packages"])
    both = all_ids(tmp_path / "both", {**old, **new})
    # The library's entry is in the newer one, which keeps its ids.
    assert all_ids(tmp_path / "new", new) < both


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("lib/base/src/a/b.ts", "@qi/base/a/b.ts"),
        ("typescript/packages/core/src/a.ts", "@qi/core/a.ts"),
        ("lib/cli/src/a.ts", "lib/cli/a.ts"),
        ("apps/x/src/a.ts", "app/x/a.ts"),
        # An app's own folder is no package.
        ("app/x/src/base/a.ts", "app/x/base/a.ts"),
        ("somewhere/else.ts", "somewhere/else.ts"),
    ],
)
def test_a_file_is_known_by_its_path_below_its_root(path: str, name: str) -> None:
    assert PROFILE.layout_free_path(path) == name
