"""The stages from snapshot to datasets, one after the other, on a small repository."""

from dataclasses import replace
from pathlib import Path

import pytest

from qi_pipeline.artefacts import write_jsonl
from qi_pipeline.data_stages import rows_version
from qi_pipeline.evolution.records import Evolution
from qi_pipeline.handles import PatternSet, ValidatedSet
from qi_pipeline.sandbox.sandbox import SandboxRefusedError
from qi_pipeline.settings import PROJECT_ROOT, Settings
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


def test_what_overlaps_with_the_task_suite_is_not_learned(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.commit({f"{APP}/size.ts": FIXED}, "mend")
    suite = tmp_path / "tasks.jsonl"
    task = {
        "id": "halving",
        "category": "basic",
        "prompt": "Halve a number.",
        "entry_point": "half",
        "test": "",
        "required_api": {},
        "forbidden": [],
        "reference": GOOD,
    }
    write_jsonl(suite, [task])
    pipeline = Pipeline(
        Settings(data_dir=tmp_path / "data", source=str(repository.path), tasks=suite)
    )
    assert {text.id for text in pipeline.task_texts()} >= {"halving", "general-chunk"}
    taken, _, validated = graded(pipeline)
    outcome = pipeline.training_datasets(taken, validated)
    assert outcome.figures["overlapping_patterns"] == 1
    rows = (outcome.handle.directory / "qi-conversations.json").read_text("utf-8")
    assert "n / 2" not in rows
    assert "unwrapOr(0, r)" in rows
    write_jsonl(suite, [{**task, "reference": "export const other = [1, 2, 3, 4];"}])
    again = pipeline.training_datasets(taken, validated)
    assert not again.reused
    assert again.figures["overlapping"] == 0


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


TEST = "typescript/lib/tests/base/result.test.ts"
WATCHED = """
import { expect, it } from "vitest";
import { success } from "@qi/base";
it("wraps", () => { expect(success(1)).toEqual({ tag: "success", value: 1 }); });
"""


def test_units_are_marked_by_what_the_library_s_own_tests_notice(
    pipeline: Pipeline, repository: GitRepository
) -> None:
    repository.commit({TEST: WATCHED})
    taken, _, _ = graded(pipeline)
    tests = pipeline.library_tests(taken)
    assert tests is not None
    marks = {function.symbol: function.status for function in tests.functions}
    assert marks["@qi/base:success"] == "noticed"
    assert marks["@qi/base:failure"] == "untested"


def test_where_the_sandbox_is_refused_nothing_is_run_and_another_run_tries_again(
    pipeline: Pipeline, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({TEST: WATCHED})
    said: list[str] = []
    heard = replace(pipeline, report=said.append)
    taken = heard.repo_snapshot().handle

    def refuse(*_arguments: object, **_options: object) -> None:
        raise SandboxRefusedError("user namespace", "forbidden here")

    with monkeypatch.context() as machine:
        machine.setattr("qi_pipeline.data_stages.prepare_function_tester", refuse)
        assert heard.library_tests(taken) is None
        assert all(row.library_tests is None for row in graded(heard)[2].read())
    assert any("user namespace" in line for line in said)
    tests = heard.library_tests(taken)
    assert tests is not None
    assert tests.baseline_passed == 1


def test_tests_that_could_judge_nothing_are_run_again(
    pipeline: Pipeline, repository: GitRepository
) -> None:
    repository.commit({TEST: WATCHED.replace("value: 1", "value: 2")})
    taken = pipeline.repo_snapshot().handle
    tests = pipeline.library_tests(taken)
    assert tests is not None
    assert tests.problem is not None
    assert not (pipeline.settings.cache_dir / "library-tests").exists()


def test_a_history_that_was_not_judged_whole_is_judged_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = pipeline.repo_snapshot().handle
    with monkeypatch.context() as machine:
        machine.setattr(Evolution, "complete", property(lambda _evolution: False))
        first = pipeline.pattern_evolution(taken)
        assert not pipeline.pattern_evolution(taken).reused
    second = pipeline.pattern_evolution(taken)
    assert not second.reused
    assert second.handle.directory != first.handle.directory
    assert pipeline.pattern_evolution(taken).reused


def test_units_of_no_known_type_are_part_of_what_was_found(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    # In this profile nothing but ConfigBuilder is evidence of a type, so `half` has none.
    profile = tmp_path / "profile.toml"
    text = (PROJECT_ROOT / "qi_pipeline/library/profile.toml").read_text("utf-8")
    known = text.replace('["success", "failure", "Ok", "Err", ', '["Ok", "Err", ')
    assert known != text
    profile.write_text(known, "utf-8")
    narrow = replace(
        pipeline, settings=pipeline.settings.model_copy(update={"profile": str(profile)})
    )
    handle = narrow.patterns(narrow.repo_snapshot().handle).handle
    assert "half" in {unit.container for unit in handle.untyped()}
    rows = [unit.model_dump(mode="json") for unit in handle.untyped()]
    assert rows_version([*(r.model_dump(mode="json") for r in handle.read()), *rows]) == (
        handle.data_version
    )
    assert rows_version([r.model_dump(mode="json") for r in handle.read()]) != handle.data_version
    waiting = row(graded(narrow)[2], "half")
    assert waiting.status == "review"
    assert waiting.recognition is not None
