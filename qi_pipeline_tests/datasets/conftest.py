"""Validated rows of a small invented library use, and a snapshot with a manifest."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    root = tmp_path / "snapshot"
    root.mkdir()
    (root / "package.json").write_text(json.dumps({"license": "MIT"}))
    return Snapshot(
        root=root,
        tree_hash="a" * 64,
        source="https://user:secret@example.org/library.git",
        revision="HEAD",
        commit="c" * 40,
        committed_at="2026-01-01T00:00:00+00:00",
        subject="Add orders",
        files=(SnapshotFile(path="package.json", blob="b" * 40, kind="manifest", size=17),),
    )
