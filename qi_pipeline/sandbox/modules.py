"""One untrusted module against its tests.

Flows in: modules and tests as TypeScript, a `LibraryWorkspace`. Flows out: a `TestRun` for each.
The tests' format is that of the task suite: a module that imports `./solution` and `node:assert`,
asserts at its top level, and has passed when its end is reached. What code is worth belongs to
`evaluation`.

How a verdict is reached, and what the module can do about it, is told at the head of
`harness/module.cjs`. In short: module and tests share one process, since tests hand objects to the
module; a pass is a line with a random word that only the harness knows and writes after the last
assertion. `process.exit(0)`, overwritten assertions, polluted prototypes and forged output leave no
such line. The sandbox holds what the process does to the machine.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.sandbox.bundle import (
    HARNESS,
    Toolchain,
    Transpiled,
    batches,
    bundle_library,
    transpile,
)
from qi_pipeline.sandbox.limits import MODULE_LIMITS, Limits
from qi_pipeline.sandbox.sandbox import SCRATCH, Sandbox, find_node
from qi_pipeline.sandbox.supervisor import ProcessOutcome
from qi_pipeline.sandbox.verdict import split_verdict
from qi_pipeline.validation.workspace import LibraryWorkspace

TestStatus = Literal["passed", "failed", "timed_out", "crashed", "no_verdict", "refused"]

MODULE_NAME = "solution"
"""Tests import the module under test as `./solution`."""
_OUTPUT_SHOWN = 4000
_CHARACTERS_AT_ONCE = 1 << 20
"""Of texts that are transpiled together; their JavaScript stays far below the limit of output."""
_UNSETTLED = (
    "an assertion neither succeeded nor failed: the tests do not wait for it, or the stack ended"
)
_NODE_FLAGS = (
    # What Node itself denies: files but the named ones, processes, workers, add-ons, inspector.
    "--experimental-permission", "--no-addons", f"--allow-fs-read={SCRATCH}/*",
    f"--allow-fs-write={SCRATCH}/*",
    # What keeps tests and module apart inside the process.
    "--frozen-intrinsics", "--disable-proto=delete", "--disallow-code-generation-from-strings",
    "--zero-fill-buffers", "--experimental-vm-modules",
    "--max-old-space-size=256", "--no-warnings",
)  # fmt: skip


@dataclass(frozen=True)
class ModuleTest:
    """One module and the tests it has to pass, both TypeScript."""

    module: str
    tests: str


@dataclass(frozen=True)
class TestRun:
    """How one module did on its tests."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    status: TestStatus
    """passed: the tests' end was reached and no assertion failed. failed: an assertion failed, the
    module or its tests threw, or nothing was asserted. timed_out: a limit of time. crashed: the
    process died or went beyond another limit. no_verdict: it ended by itself, before the tests did.
    refused: it was not run, because a text is no TypeScript or the tests import what is not there,
    such as a test runner."""
    assertions: int
    """Assertions that ran; 0 where the process did not live to tell."""
    failures: tuple[str, ...]
    """The first twenty that failed, in order; why there is no verdict, where there is none."""
    output: str
    """What the module wrote, the first 4,000 characters."""
    seconds: float
    """Wall-clock time of the run."""


@dataclass(frozen=True)
class ModuleTester:
    """Runs modules against tests; made once for a library by `prepare_tester`."""

    library: Path
    toolchain: Toolchain
    sandbox: Sandbox
    limits: Limits = MODULE_LIMITS

    def run_many(self, tests: Mapping[str, ModuleTest], *, workers: int = 2) -> dict[str, TestRun]:
        """Return the run of every test, by its name; no run sees another.

        workers: sandboxes at a time; one for each processor core is best.

        Raises SandboxRefusedError when this machine does not grant a layer of the sandbox.
        """
        modules = _transpile_once([test.module for test in tests.values()], self)
        suites = _transpile_once([test.tests for test in tests.values()], self)

        def run(test: ModuleTest) -> TestRun:
            return self._run(modules[test.module], suites[test.tests])

        with ThreadPoolExecutor(max_workers=workers) as pool:
            return dict(zip(tests, pool.map(run, tests.values()), strict=True))

    def _run(self, module: Transpiled, tests: Transpiled) -> TestRun:
        for what, text in (("module", module), ("tests", tests)):
            if text.error is not None:
                return TestRun("refused", 0, (f"the {what}: {text.error}",), "", 0.0)
        nonce = secrets.token_hex(32)
        request = {
            "nonce": nonce,
            "library": str(self.library),
            "module": module.code,
            "tests": tests.code,
            "name": MODULE_NAME,
        }
        script, locks = (HARNESS / "module.cjs").resolve(), (HARNESS / "lock.cjs").resolve()
        readable = [script, locks, self.library]
        allowed = [f"--allow-fs-read={place}" for place in readable]
        outcome = self.sandbox.run(
            [find_node(), *_NODE_FLAGS, *allowed, script],
            readable=readable,
            directory=SCRATCH,
            limits=self.limits,
            stdin=json.dumps(request).encode(),
        )
        return _judge(outcome, nonce, self.limits)


def prepare_tester(
    workspace: LibraryWorkspace,
    toolchain_dir: Path,
    cache_dir: Path,
    *,
    sandbox: Sandbox | None = None,
    limits: Limits = MODULE_LIMITS,
) -> ModuleTester:
    """Return what runs modules against the library of `workspace`, bundling that once.

    Raises QiPipelineError when the toolchain is missing, the library cannot be bundled, or a module
    that is known to be right or wrong is not told to be so.
    """
    sandbox = sandbox or Sandbox()
    toolchain = Toolchain(toolchain_dir)
    library = bundle_library(workspace, toolchain, cache_dir, sandbox).resolve()
    tester = ModuleTester(library, toolchain, sandbox, limits)
    _require_sound(tester)
    return tester


_PROBES: Mapping[TestStatus, str] = {
    "passed": "export const sum = (left: number, right: number): number => left + right;",
    "failed": "export const sum = (left: number, right: number): number => left - right;",
}
_PROBE_TESTS = """
import { strict as assert } from "node:assert";
import { sum } from "./solution";
assert.equal(sum(2, 3), 5);
"""


def _require_sound(tester: ModuleTester) -> None:
    """Refuse tools that do not work here, whose failures would count as those of the modules."""
    runs = tester.run_many(
        {status: ModuleTest(module, _PROBE_TESTS) for status, module in _PROBES.items()}
    )
    for expected, run in runs.items():
        if run.status != expected:
            raise QiPipelineError(
                f"the tester does not work on this machine: a module that should have {expected} "
                f"is {run.status.replace('_', ' ')} ({' '.join(run.failures)[:500]}); check that "
                "node is version 20, install the toolchain again (npm ci), and see that the limits "
                "leave room for a module of one line"
            )


def run_module_tests(module: str, tests: str, tester: ModuleTester) -> TestRun:
    """Return how one TypeScript `module` does on its `tests`."""
    return tester.run_many({MODULE_NAME: ModuleTest(module, tests)}, workers=1)[MODULE_NAME]


def _transpile_once(texts: Sequence[str], tester: ModuleTester) -> dict[str, Transpiled]:
    """Return text to its JavaScript; equal texts are transpiled once."""
    distinct = dict.fromkeys(texts)
    named = {str(number): text for number, text in enumerate(distinct)}
    found: dict[str, Transpiled] = {}
    for batch in batches(named, _CHARACTERS_AT_ONCE):
        found |= transpile(batch, tester.toolchain, tester.sandbox)
    return {text: found[name] for name, text in named.items()}


def _judge(outcome: ProcessOutcome, nonce: str, limits: Limits) -> TestRun:
    record, output = split_verdict(outcome.stdout, nonce)
    shown = (output + outcome.stderr)[:_OUTPUT_SHOWN]
    if record is not None and "refused" in record:
        return TestRun("refused", 0, (record["refused"],), shown, outcome.seconds)
    if record is not None:
        failures = tuple(record["failures"])
        if not failures and record["assertions"] == 0:
            failures = ("the tests asserted nothing",)
        if not failures and record["settled"] != record["assertions"]:
            failures = (_UNSETTLED,)
        status: TestStatus = "failed" if failures else "passed"
        return TestRun(status, record["assertions"], failures, shown, outcome.seconds)
    status, reason = _without_verdict(outcome, limits)
    return TestRun(status, 0, (reason,), shown, outcome.seconds)


def _without_verdict(outcome: ProcessOutcome, limits: Limits) -> tuple[TestStatus, str]:
    if outcome.ending == "timed_out":
        allowed = f"{limits.wall_seconds:g} s or {limits.cpu_seconds} s of processor time"
        return "timed_out", f"not finished after {allowed}"
    if outcome.ending == "out_of_memory":
        return "crashed", f"used more than {limits.memory_bytes >> 20} MiB of memory"
    if outcome.ending == "too_much_output":
        return "crashed", f"wrote more than {limits.output_bytes >> 10} KiB"
    if outcome.ending == "signalled":
        return "crashed", f"ended by signal {outcome.code}"
    if outcome.code == 0:
        return "no_verdict", "ended before the last assertion, or waits for what never comes"
    last = outcome.stderr.strip().splitlines()[-1:] or [""]
    return "crashed", f"ended with status {outcome.code} before the last assertion {last[0]}"
