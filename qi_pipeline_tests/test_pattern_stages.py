"""The stages from snapshot to datasets, one after the other, on a small repository."""

from pathlib import Path

import pytest

from qi_pipeline.handles import PatternSet, ValidatedSet
from qi_pipeline.settings import Settings
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.stages import Pipeline
from qi_pipeline.validation.queue import reject
from qi_pipeline.validation.review import append_decision
from qi_pipeline.validation.verdict import ValidatedPattern
from qi_pipeline_tests.source.git_repository import GitRepository
from qi_pipeline_tests.validation.conftest import LIBRARY

APP = "typescript/app/demo/src"
GOOD = """
import { success, type Result } from "@qi/base";
export function half(n: number): Result<number> {
  return success(n / 2);
}
"""
BUILDER = """
import { ConfigBuilder } from "@qi/core";
export function build(name: string) {
  return ConfigBuilder.fromObject({ name }).build();
}
"""
VIOLATION = """
import { success } from "@qi/base";
export function size(n: number): number {
  const r = success(n);
  return r.tag === "success" ? r.value : 0;
}
"""
FIXED = VIOLATION.replace('return r.tag === "success" ? r.value : 0;', "return unwrapOr(0, r);")
FIXED = FIXED.replace("{ success }", "{ success, unwrapOr }")
ASSUMING = """# Guide

## Halving

Halve what was read.

```typescript
import { map } from "@qi/base";
export function halved() {
  return map((n: number) => n / 2, reading);
}
```
"""
GUIDE = "typescript/docs/tutorial/guide.md"


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    made = GitRepository.create(tmp_path / "library")
    files = {f"{APP}/half.ts": GOOD, f"{APP}/build.ts": BUILDER, f"{APP}/size.ts": VIOLATION}
    made.commit({**LIBRARY, **files})
    return made


@pytest.fixture
def pipeline(repository: GitRepository, tmp_path: Path) -> Pipeline:
    return Pipeline(Settings(data_dir=tmp_path / "data", source=str(repository.path)))


def graded(pipeline: Pipeline) -> tuple[Snapshot, PatternSet, ValidatedSet]:
    taken = pipeline.repo_snapshot().handle
    patterns = pipeline.patterns(taken).handle
    return taken, patterns, pipeline.validated_patterns(taken, patterns).handle


def row(validated: ValidatedSet, container: str) -> ValidatedPattern:
    (found,) = [r for r in validated.read() if r.pattern.container == container]
    return found


def test_patterns_are_extracted_once_and_files_reread_only_when_they_change(
    pipeline: Pipeline, repository: GitRepository
) -> None:
    first = pipeline.patterns(pipeline.repo_snapshot().handle)
    assert not first.reused
    assert first.figures["files_reused"] == 0
    assert first.figures["call_forms"]["instance_member"] == 1
    assert pipeline.patterns(pipeline.repo_snapshot().handle).reused
    repository.commit({f"{APP}/size.ts": FIXED})
    second = pipeline.patterns(pipeline.repo_snapshot().handle)
    assert not second.reused
    assert second.figures["files_extracted"] == 1
    assert second.figures["files_reused"] == first.figures["files_extracted"] - 1
    repository.git("rm", "--quiet", f"{APP}/size.ts")
    repository.commit_index()
    third = pipeline.patterns(pipeline.repo_snapshot().handle)
    assert (third.figures["files_extracted"], third.figures["files_removed"]) == (0, 1)


def test_rows_are_graded_and_recognition_stands_beside_them(pipeline: Pipeline) -> None:
    _, _, validated = graded(pipeline)
    assert row(validated, "half").status == "kept"
    assert row(validated, "size").status == "rejected"
    known = validated.recognition().by_id()
    assert set(known) == {r.pattern.id for r in validated.read()}
    assert validated.map.read_bytes().startswith(b"\x89PNG")
    assert validated.confusion.read_bytes().startswith(b"\x89PNG")


def test_decisions_in_review_are_followed_by_the_next_run(
    pipeline: Pipeline, repository: GitRepository
) -> None:
    repository.commit({GUIDE: ASSUMING})
    taken, patterns, validated = graded(pipeline)
    waiting = [r for r in validated.read() if r.status == "review"]
    assert waiting
    decision = reject(waiting[0], note="shows nothing", by="reviewer")
    append_decision(pipeline.settings.review_file, decision)
    again = pipeline.validated_patterns(taken, patterns)
    assert not again.reused
    after = row(again.handle, waiting[0].pattern.container)
    assert after.status == "rejected"
    assert after.decision == decision
    assert again.figures["decisions"] == {"reject": 1}


def test_the_history_s_fixes_become_samples(pipeline: Pipeline, repository: GitRepository) -> None:
    repository.commit({f"{APP}/size.ts": FIXED}, "mend")
    taken, _, validated = graded(pipeline)
    outcome = pipeline.training_datasets(taken, validated)
    rows = (outcome.handle.directory / "qi-conversations.json").read_text("utf-8")
    assert "unwrapOr(0, r)" in rows
    assert "R1" in rows
    assert pipeline.training_datasets(taken, validated).reused


def test_a_fix_that_no_longer_complies_is_left_out(
    pipeline: Pipeline, repository: GitRepository
) -> None:
    repository.commit({f"{APP}/size.ts": FIXED}, "mend")
    base = "typescript/lib/base/src/index.ts"
    renamed = LIBRARY[base].replace("unwrapOr,", "unwrapOr as unwrapElse,")
    repository.commit({base: renamed}, "rename")
    taken, _, validated = graded(pipeline)
    outcome = pipeline.training_datasets(taken, validated)
    rows = (outcome.handle.directory / "qi-conversations.json").read_text("utf-8")
    assert "unwrapOr(0, r)" not in rows


def test_the_history_is_followed(pipeline: Pipeline, repository: GitRepository) -> None:
    repository.commit({f"{APP}/size.ts": FIXED}, "mend")
    taken = pipeline.repo_snapshot().handle
    outcome = pipeline.pattern_evolution(taken)
    assert outcome.figures["commits"] == 2
    assert outcome.handle.plot.read_bytes().startswith(b"\x89PNG")
    used = {symbol.symbol: symbol for symbol in outcome.handle.read().symbols}
    assert "@qi/base:unwrapOr" in used
    assert pipeline.pattern_evolution(taken).reused
