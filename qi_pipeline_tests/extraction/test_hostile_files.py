"""Files that nobody means to be read: every one is reported, and the rest of the run goes on.

All go through a real repository, so that what the snapshot leaves out counts as reported too.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline.extraction.extract import Extraction, extract_patterns
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.source.take import take_snapshot
from qi_pipeline_tests.extraction.planted import LIBRARY, PROFILE, extract
from qi_pipeline_tests.source.git_repository import GitRepository

APP = "app/demo/src/hostile.ts"
DOC = "docs/tutorial/hostile.md"
NOTEBOOK = "docs/tutorial/hostile.ipynb"
GOOD = "app/demo/src/good.ts"
GOOD_CODE = 'import { success } from "@qi/base";\nexport const good = () => success(1);\n'
LEVELS = 10_000
LARGEST = 4_900_000
"""Bytes just below what a snapshot takes."""


def run(root: Path, files: Mapping[str, str | bytes]) -> tuple[Snapshot, Extraction]:
    """Extract from a commit that holds the library, a good file and `files`."""
    repository = GitRepository.create(root / "repository")
    repository.commit({**LIBRARY, GOOD: GOOD_CODE, **files})
    snapshot = take_snapshot(
        str(repository.path), "HEAD", PROFILE, root / "snapshots", root / "mirrors"
    )
    extraction = extract_patterns(snapshot, PROFILE)
    assert "good" in {pattern.container for pattern in extraction.patterns}
    for pattern in extraction.patterns:
        assert pattern.model_dump_json().encode()
    return snapshot, extraction


def reported(root: Path, files: Mapping[str, str | bytes]) -> dict[str, str]:
    """Return path to reason of what was skipped or not read."""
    snapshot, extraction = run(root, files)
    reasons = {item.path: str(item.reason) for item in snapshot.skipped}
    reasons.update({item.file.partition("#")[0]: item.reason for item in extraction.unreadable})
    return reasons


BLOCK = "```ts\nconst a = success(1)\n```\n"
BINARY = bytes(range(256)) * 40
UNREADABLE: dict[str, tuple[str, str | bytes, str]] = {
    "truncated code": (APP, GOOD_CODE[:-4], "syntax error"),
    "binary code": (APP, BINARY, "not UTF-8"),
    "binary document": (DOC, BINARY, "not UTF-8"),
    "binary notebook": (NOTEBOOK, BINARY, "not UTF-8"),
    "Latin-1 code": (APP, GOOD_CODE.encode() + b'const s = "caf\xe9";\n', "not UTF-8"),
    "two encodings in one file": (APP, "é".encode() + "é".encode("latin-1"), "not UTF-8"),
    "UTF-16 code": (APP, GOOD_CODE.encode("utf-16"), "not UTF-8"),
    "UTF-16 without a mark": (APP, GOOD_CODE.encode("utf-16-le"), "NUL"),
    "NUL in code": (APP, GOOD_CODE + "\0", "NUL"),
    "NUL in a document": (DOC, "# A\0\n", "NUL"),
    "deep brackets": (APP, "const a = " + "[" * LEVELS + "]" * LEVELS, "nested too deeply"),
    "deep parentheses": (APP, "a = " + "(" * LEVELS + "1" + ")" * LEVELS, "nested too deeply"),
    "deep functions": (APP, "function f() {" * LEVELS + "}" * LEVELS, "nested too deeply"),
    "deep types": (APP, "type A = " + "B<" * 300 + "1" + ">" * 300, "nested too deeply"),
    "deep patterns": (APP, f"const {'[' * LEVELS}a{']' * LEVELS} = b", "nested too deeply"),
    "a long chain of members": (APP, "a" + ".b()" * LEVELS, "nested too deeply"),
    "a long sum": (APP, "const a = 1" + " + 1" * LEVELS, "nested too deeply"),
    "a bundle": (APP, GOOD_CODE * 4_000, "larger than 200000 bytes"),
    "deep tests": (APP, 'it("a", () => {' * LEVELS + "})" * LEVELS, "nested too deeply"),
    "open brackets": (APP, "{" * LEVELS, "syntax error"),
    "open generics": (APP, "a<" * LEVELS, "syntax error"),
    "deep JSON": (NOTEBOOK, "[" * 100_000 + "]" * 100_000, "nested too deeply"),
    "deep JSON in cells": (
        NOTEBOOK,
        '{"cells": ' + '{"a":' * LEVELS + "1" + "}" * LEVELS + "}",
        "nested too deeply",
    ),
    "truncated notebook": (NOTEBOOK, '{"cells": [{"cell_type": "code", "sou', "notebook"),
    "a number of many digits": (NOTEBOOK, '{"cells": ' + "9" * LEVELS + "}", "notebook"),
    "truncated block": (DOC, f"```ts\n{GOOD_CODE[:-4]}", "syntax error"),
    "deep block": (DOC, "```ts\n" + "[" * LEVELS + "]" * LEVELS + "\n```", "nested too deeply"),
    "a document without end": (DOC, BLOCK * 10_000, "more than 20000 lines"),
    "50 MB of code": (APP, GOOD_CODE * 550_000, "oversize"),
    "50 MB of prose": (DOC, "word " * 10_500_000, "oversize"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_hostile_file_is_reported_and_the_rest_goes_on(name: str, tmp_path: Path) -> None:
    path, content, reason = UNREADABLE[name]
    assert reason in reported(tmp_path, {path: content}).get(path, "not reported")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (APP, GOOD_CODE.replace("\n", "\r\n")),
        (APP, b"\xef\xbb\xbf" + GOOD_CODE.encode()),
        (DOC, f"# A\r\n\r\n```ts\r\n{GOOD_CODE}```\r\n".replace("\n", "\r\n")),
        (APP, ""),
        (DOC, "\r\r\n\n"),
    ],
)
def test_windows_line_ends_and_byte_order_marks_are_fine(
    path: str, content: str | bytes, tmp_path: Path
) -> None:
    assert path not in reported(tmp_path, {path: content})


@pytest.mark.parametrize(
    "text",
    [
        "> " * LEVELS + "deep",
        ">" * (LARGEST // 10),
        "- " * LEVELS + "deep",
        "\n".join("  " * level + "- a" for level in range(1_000)),
        "*a" * (LARGEST // 10),
        "**" * (LARGEST // 10),
        "_a _" * (LARGEST // 10),
        "[" * (LARGEST // 10),
        "[a](" * (LARGEST // 20),
        "# " + "[a" * 100_000,
        "`" * (LARGEST // 10),
        "<!--" * 100_000,
        "[a]: <" * 50_000,
        "a\n" * 19_000,
        "1. a\n" * 19_000,
        "> a\n- b\n" * 9_500,
        "[a]: b\n" * 19_000,
        "#\n" * 19_000,
        "<a>\n" * 19_000,
        "```ts\nconst a = success(1)\n```\n" * 5_000,
        "```ts\n" + "x = `${" * 1_000 + "\n```\n",
    ],
    ids=lambda text: text[:8],
)
def test_no_markdown_stops_a_run(text: str, tmp_path: Path) -> None:
    run(tmp_path, {DOC: f"{text}\n\n{BLOCK}"})


def test_a_large_file_of_many_units_is_read(tmp_path: Path) -> None:
    units = "".join(f"export const u{n} = () => success({n});\n" for n in range(2_000))
    _, extraction = run(tmp_path, {APP: f'import {{ success }} from "@qi/base";\n{units}'})
    assert sum(p.metadata.source_file == APP for p in extraction.patterns) == 2_000


SEEDS = {
    APP: (
        'import { success, map } from "@qi/base";\nimport * as u from "./good.js";\n'
        "class A { m = (x) => map((y) => y, success(x)); }\n"
        'describe("a", () => { it(`b`, async () => { await u.good(); }); });\n'
        "type T = { [k: string]: [a: number] }; const { a, b: [c] } = success(1);\n"
    ),
    DOC: (
        "# A\n\n> - text\n\n```ts\nconst a = map(success(1))\n```\n\n1. x\n   ~~~ts\n   f()\n   ~~~"
    ),
    NOTEBOOK: json.dumps(
        {
            "cells": [{"cell_type": "code", "source": ["const a = ", "success(1)"]}],
            "metadata": {"language_info": {"name": "typescript"}},
        }
    ),
}
PIECES = [
    "{",
    "}",
    "(",
    "[",
    "`",
    "${",
    '"',
    "/*",
    "*/",
    "=>",
    "<",
    "\0",
    "\r",
    "\ud800",
    "é",
    "\\",
    "#",
]


@settings(max_examples=60)
@given(st.data())
def test_small_mutations_never_stop_a_run(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(sorted(SEEDS)))
    content = SEEDS[path]
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 12)))
        piece = data.draw(st.sampled_from(["", *PIECES])) * data.draw(st.integers(1, 3))
        content = content[:start] + piece + content[end:]
    encoded = content.encode(errors="surrogatepass")
    for pattern in extract(tmp_path_factory.mktemp("m"), {GOOD: GOOD_CODE, path: encoded}).patterns:
        assert pattern.model_dump_json().encode()


@settings(max_examples=60)
@given(st.sampled_from([APP, DOC, NOTEBOOK]), st.binary(max_size=200))
def test_no_bytes_stop_a_run(
    tmp_path_factory: pytest.TempPathFactory, path: str, content: bytes
) -> None:
    found = extract(tmp_path_factory.mktemp("b"), {GOOD: GOOD_CODE, path: content})
    assert "good" in {pattern.container for pattern in found.patterns}
