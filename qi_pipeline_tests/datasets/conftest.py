"""Validated rows of a small invented library use, and a snapshot of that library."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from qi_pipeline.datasets.fix_pairs import FixPair
from qi_pipeline.datasets.reference import Reference
from qi_pipeline.extraction.pattern import PATTERN_TYPES, Pattern, PatternMetadata
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile
from qi_pipeline.validation.verdict import ValidatedPattern, Verdict

MODULE = """\
import {{ failure, success, validationError }} from "@qi/base";
import type {{ Result }} from "@qi/base";

interface Order{number} {{ id: string; total: number }}

/** Checks order number {number} and fails when its total is negative. */
export const checkOrder{number} = (order: Order{number}): Result<Order{number}> =>
  order.total < 0
    ? failure(validationError("Negative total of {number}"))
    : success(order);
"""

RowFactory = Callable[..., ValidatedPattern]


@pytest.fixture(scope="session")
def profile() -> Profile:
    return load_profile()


@pytest.fixture(scope="session")
def make_row() -> RowFactory:
    return build_row


def build_row(number: int, **changes: object) -> ValidatedPattern:
    """Return row `number`; `changes` overrides fields of the pattern, its metadata or the row."""
    identity = f"{number:016x}"
    metadata: dict[str, object] = {
        "source_file": f"app/file{number // 3}.ts",
        "line_range": (1, 9),
        "dependencies": ("@qi/base",),
        "test_coverage": False,
    }
    pattern: dict[str, object] = {
        "id": identity,
        "type": PATTERN_TYPES[number % len(PATTERN_TYPES)],
        "instruction": f"Using @qi/base, write `checkOrder{number}`: checks order {number}.",
        "implementation": MODULE.format(number=number),
        "complexity": 2,
        "category": "basic",
        "symbols": ("@qi/base:failure", "@qi/base:success", "@qi/base:validationError"),
        "commit": "c" * 40,
        "blob": "b" * 40,
        "container": f"checkOrder{number}",
        "source_kind": "app",
    }
    row: dict[str, object] = {"status": "kept", "reasons": (), "duplicate_cluster": identity}
    for name, value in changes.items():
        next(part for part in (metadata, pattern, row) if name in part)[name] = value
    verdict = Verdict.model_validate(
        {"compiles": True, "diagnostics": (), "rules": (), "symbols": pattern["symbols"]}
    )
    return ValidatedPattern.model_validate(
        {
            "pattern": Pattern.model_validate(
                {**pattern, "metadata": PatternMetadata.model_validate(metadata)}
            ),
            "verdict": verdict,
            **row,
        }
    )


LIBRARY = {
    "package.json": json.dumps({"license": "MIT"}),
    "lib/base/src/index.ts": """
/** The outcome of work that may fail. */
export type Result<T, E = QiError> = { tag: "success"; value: T } | { tag: "failure"; error: E };
export interface QiError { code: string }
/** Wraps a value that was computed. */
export const success = <T>(value: T): Result<T> => ({ tag: "success", value });
/** Reports why there is no value. */
export const failure = <T>(error: QiError): Result<T> => ({ tag: "failure", error });
/** Blames the input of the caller. */
export const validationError = (message: string): QiError => ({ code: message });
export const undocumented = (): Result<number> => success(1);
""",
    "docs/tutorial/guide.md": """
# Guide

## Orders

Orders are refused early. A refused order never reaches the shop.

```ts
const order = success({ total: 1 });
```
""",
}


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return make_snapshot(tmp_path / "snapshot", LIBRARY)


def make_snapshot(root: Path, files: Mapping[str, str]) -> Snapshot:
    profile = load_profile()
    entries = []
    for path, text in sorted(files.items()):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        kind = profile.kind_of(path)
        assert kind is not None
        assert kind != "ignored"
        entries.append(SnapshotFile(path=path, blob="b" * 40, kind=kind, size=len(text)))
    return Snapshot(
        root=root,
        tree_hash="a" * 64,
        source="https://user:secret@example.org/library.git",
        revision="HEAD",
        commit="c" * 40,
        committed_at="2026-01-01T00:00:00+00:00",
        subject="Add orders",
        files=tuple(entries),
    )


NO_REFERENCE = Reference(docs={}, units={}, prose={})


def build_pair(number: int, **changes: object) -> FixPair:
    """Return fix pair `number`; every two stand in one commit."""
    body = f"{{ const total{number} = order.total; return total{number} < {number}; }}"
    fields: dict[str, object] = {
        "id": f"pair{number:012}",
        "before": f"export const early{number} = (order: any) => {body}",
        "after": f"export const early{number} = (order: {{ total: number }}) => {body}",
        "rules": ("R12",),
        "messages": ("line 1: uses any; name the type",),
        "commit": f"{number // 2:040x}",
        "parent": "e" * 40,
        "source_file": f"app/old{number}.ts",
        "container": f"early{number}",
    }
    return FixPair.model_validate({**fields, **changes})
