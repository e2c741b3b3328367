"""The sample library's own suites, and what changed sources do to them."""

import dataclasses
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sandbox.suite import Suite, prepare_suite, run_suite
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.workspace import prepare_library
from qi_pipeline_tests.sandbox.conftest import TOOLCHAIN, Mark, Sample

RESULT = "lib/base/src/result.ts"
RESULT_TESTS = "lib/tests/base/result.test.ts"
ERROR_TESTS = "lib/tests/base/error.test.ts"


@pytest.fixture(scope="module")
def suite(sample: Sample) -> Suite:
    return prepare_suite(sample.snapshot, sample.workspace, sample.profile, TOOLCHAIN, sample.cache)


def text_of(suite: Suite, path: str) -> str:
    return (suite.root / path).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_whole_suite_passes(suite: Suite) -> None:
    run = run_suite(suite, workers=2)
    assert (run.status, run.errors, run.count("failed")) == ("passed", (), 0)
    assert run.count("passed") >= 160
    assert {test.file for test in run.tests} == set(suite.test_files)


def test_files_can_be_chosen(suite: Suite) -> None:
    run = run_suite(suite, files=[ERROR_TESTS])
    assert run.status == "passed"
    assert {test.file for test in run.tests} == {ERROR_TESTS}
    assert all(test.message is None and test.seconds >= 0 for test in run.tests)


def test_a_changed_body_is_noticed_and_the_next_run_is_as_before(suite: Suite) -> None:
    text = text_of(suite, RESULT)
    changed = text.replace('tag: "success", value', 'tag: "success", value: undefined as never')
    assert changed != text
    run = run_suite(suite, overrides={RESULT: changed}, files=[RESULT_TESTS])
    assert run.status == "failed"
    failed = [test for test in run.tests if test.status == "failed"]
    assert failed
    assert all(test.message for test in failed)
    assert text_of(suite, RESULT) == text
    assert run_suite(suite, files=[RESULT_TESTS]).status == "passed"


def test_one_failure_can_be_enough(suite: Suite) -> None:
    changed = 'import { test, expect } from "vitest";\n' + "\n".join(
        f'test("t{number}", () => expect({number}).toBe(1));' for number in range(6)
    )
    changes, files = {RESULT_TESTS: changed}, [RESULT_TESTS]
    assert run_suite(suite, overrides=changes, files=files).count("failed") == 5
    first = run_suite(suite, overrides=changes, files=files, stop_at_first_failure=True)
    assert (first.status, first.count("failed")) == ("failed", 1)


def test_a_source_that_does_not_load_is_an_error(suite: Suite) -> None:
    run = run_suite(suite, overrides={RESULT: "export const = 1;"}, files=[RESULT_TESTS])
    assert run.status == "failed"
    assert any(RESULT_TESTS in error for error in run.errors)


def test_an_error_reads_the_same_in_every_run(suite: Suite) -> None:
    changes = {RESULT: 'import "./absent.js";\nthrow new Error(import.meta.filename);'}
    runs = [run_suite(suite, overrides=changes, files=[RESULT_TESTS]) for _ in range(2)]
    assert runs[0].errors == runs[1].errors
    assert "/library/" in runs[0].errors[0]


def test_a_suite_without_tests_does_not_pass(suite: Suite) -> None:
    run = run_suite(
        suite,
        overrides={RESULT_TESTS: 'import { test } from "vitest"; test.skip("later", () => {});'},
        files=[RESULT_TESTS],
    )
    assert (run.status, run.errors) == ("failed", ("no test ran",))
    assert run.count("skipped") == 1


HOSTILE = {
    "leaves": "process.exit(0);",
    "kills the runner": "process.kill(process.ppid, 9); process.kill(1, 9);",
    "writes a verdict": 'import fs from "node:fs"; fs.writeSync(1, `\\n${"0".repeat(64)} {}\\n`);'
    " process.exit(0);",
    "reads files": 'import fs from "node:fs"; fs.readFileSync("/etc/passwd");',
    "writes files": 'import fs from "node:fs"; fs.writeFileSync(import.meta.filename, "");',
    "reads the runner": 'import fs from "node:fs"; fs.readFileSync("/proc/1/mem");',
    "starts programs": 'import { execFileSync } from "node:child_process";'
    ' execFileSync("/bin/sh", ["-c", "id"]);',
    "uses the network": 'await fetch("http://127.0.0.1:9");',
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_sources_do_not_pass(attack: str, suite: Suite) -> None:
    changed = HOSTILE[attack] + "\n" + text_of(suite, RESULT).replace('"success"', '"other"')
    run = run_suite(suite, overrides={RESULT: changed}, files=[RESULT_TESTS])
    assert run.status in {"failed", "crashed", "no_verdict"}
    assert text_of(suite, RESULT) != changed


def test_an_endless_source_is_ended_with_all_its_processes(suite: Suite, mark: Mark) -> None:
    brief = dataclasses.replace(suite, limits=dataclasses.replace(suite.limits, wall_seconds=8.0))
    code = (
        'import { spawn } from "node:child_process";'
        f'spawn(process.execPath, ["-e", "for (;;);", "{mark.word}"], {{ detached: true }});'
        "for (;;);"
    )
    run = run_suite(brief, overrides={RESULT: code}, files=[RESULT_TESTS])
    assert (run.status, run.tests) == ("timed_out", ())
    assert "timed out" in run.errors[0]
    assert mark.processes() == []


@pytest.mark.parametrize(
    "path", ["lib/base/src/absent.ts", "/etc/passwd", "../x.ts", "node_modules/zod/package.json"]
)
def test_a_path_outside_the_suite_is_refused(path: str, suite: Suite) -> None:
    with pytest.raises(QiPipelineError, match="no file of the suite"):
        run_suite(suite, overrides={path: ""})
    with pytest.raises(QiPipelineError, match="no file of the suite"):
        run_suite(suite, files=[path])


def test_a_snapshot_without_tests_is_named(sample: Sample) -> None:
    files = tuple(file for file in sample.snapshot.files if file.kind != "test")
    bare = sample.snapshot.model_copy(update={"files": files})
    with pytest.raises(QiPipelineError, match="holds no test file"):
        prepare_suite(bare, sample.workspace, sample.profile, TOOLCHAIN, sample.cache)


@pytest.mark.real
@pytest.mark.slow
def test_the_real_suites_pass(real_repository: Path, tmp_path: Path) -> None:
    profile = load_profile()
    snapshot = take_snapshot(
        str(real_repository), "HEAD", profile, tmp_path / "snapshots", tmp_path / "mirrors"
    )
    workspace = prepare_library(snapshot, profile, tmp_path / "cache")
    suite = prepare_suite(snapshot, workspace, profile, TOOLCHAIN, tmp_path / "cache")
    run = run_suite(suite, workers=2)
    assert [test for test in run.tests if test.status == "failed"] == []
    # Eleven tests of a Redis server skip themselves without one.
    assert (run.status, run.count("passed"), run.count("skipped")) == ("passed", 159, 11)
