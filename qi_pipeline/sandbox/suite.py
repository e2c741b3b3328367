"""A library's own vitest suites, over its sources as they are or with some of them changed.

Flows in: a `Snapshot` and its `LibraryWorkspace`; texts that replace files. Flows out: a `SuiteRun`
with the outcome of every test. Prepared once, run many times: a run copies the sources, a megabyte
or so, and starts vitest inside the sandbox. Which bodies are worth changing, and what a change that
survives means, belongs to the caller.

The runner is the toolchain's vitest, whatever version the library declares; the library's own
vitest configuration is not read (it is code), and `/tmp` is the one place where tests can write.
"""

import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from qi_pipeline.artefacts import build_directory, content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile, matches_glob
from qi_pipeline.sandbox.bundle import HARNESS, Toolchain
from qi_pipeline.sandbox.limits import SUITE_LIMITS, Limits
from qi_pipeline.sandbox.sandbox import Sandbox, find_node
from qi_pipeline.sandbox.supervisor import ProcessOutcome
from qi_pipeline.sandbox.verdict import split_verdict
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile
from qi_pipeline.validation.workspace import LibraryWorkspace

SuiteStatus = Literal["passed", "failed", "timed_out", "crashed", "no_verdict"]
CaseStatus = Literal["passed", "failed", "skipped", "pending"]

_COPIED_KINDS = frozenset({"implementation", "test", "manifest"})
_TEST_FILE = re.compile(r"\.(test|spec)\.[cm]?tsx?$")
_OUTPUT_SHOWN = 8000

NO_TEST_RAN: Final = "no test ran"
"""The error of a run in which no test failed and none passed."""


@dataclass(frozen=True)
class TestOutcome:
    """How one test of a suite ended."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    file: str
    """Path in the repository."""
    name: str
    """Names of the enclosing groups and of the test, joined by ` > `."""
    status: CaseStatus
    seconds: float
    message: str | None
    """Of the first failed assertion, its first 500 characters."""


@dataclass(frozen=True)
class SuiteRun:
    """How a run of suites ended."""

    status: SuiteStatus
    """passed: every test that ran passed, and one did. failed: a test failed or a file did not
    load. The others: a limit was hit, the runner died, or it ended without a verdict."""
    tests: tuple[TestOutcome, ...]
    """Empty where there is no verdict; with `stop_at_first_failure`, tests not reached are
    missing or `pending`."""
    errors: tuple[str, ...]
    """Errors outside of tests, such as a file that does not load; why there is no verdict."""
    output: str
    """What the runner and the tests wrote, the first 8,000 characters."""
    seconds: float

    def count(self, status: CaseStatus) -> int:
        """Return the number of tests with this status."""
        return sum(test.status == status for test in self.tests)


@dataclass(frozen=True)
class Suite:
    """A library's sources and tests, ready to run; made by `prepare_suite`."""

    root: Path
    """Sources, tests and manifests under their repository paths, and `node_modules`."""
    test_files: tuple[str, ...]
    """Repository paths of the files that hold tests."""
    directory: str
    """Repository path of the working directory."""
    aliases: Mapping[str, str]
    """Import specifier to the repository path of the file that it means."""
    readable: tuple[Path, ...]
    """Where the packages lie that `node_modules` links to."""
    toolchain: Toolchain
    sandbox: Sandbox
    limits: Limits = SUITE_LIMITS


def prepare_suite(
    snapshot: Snapshot,
    workspace: LibraryWorkspace,
    profile: Profile,
    toolchain_dir: Path,
    cache_dir: Path,
    *,
    sandbox: Sandbox | None = None,
    limits: Limits = SUITE_LIMITS,
) -> Suite:
    """Return the suites of `snapshot`; `workspace` must be the same snapshot's.

    Raises QiPipelineError when the snapshot holds no test file or the toolchain is not installed.
    """
    toolchain = Toolchain(toolchain_dir.resolve())
    vitest = toolchain.package("vitest")
    files = [file for file in snapshot.files if file.kind in _COPIED_KINDS]
    tests = suite_files(snapshot)
    if not tests:
        raise QiPipelineError(
            f"commit {snapshot.commit[:12]} of {snapshot.source} holds no test file (*.test.ts, "
            "*.spec.ts); choose another revision or add the tests' place to the profile's `sources`"
        )
    packages = {place.name: place for place in sorted(workspace.node_modules.resolve().iterdir())}
    packages = {**packages, "vitest": vitest}
    key = content_hash(
        {
            "files": [[file.path, file.blob] for file in files],
            "packages": {name: str(place) for name, place in packages.items()},
        }
    )
    root = build_directory(
        cache_dir / "suites" / key, lambda target: _fill(target, snapshot, files, packages)
    )
    return Suite(
        root=root,
        test_files=tests,
        directory=_directory(files, profile),
        aliases=_aliases(workspace),
        readable=(workspace.node_modules, toolchain.node_modules),
        toolchain=toolchain,
        sandbox=sandbox or Sandbox(),
        limits=limits,
    )


def suite_files(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the repository paths of the files that hold tests."""
    tests = (file.path for file in snapshot.files if file.kind == "test")
    return tuple(path for path in tests if _TEST_FILE.search(path))


def _fill(
    target: Path,
    snapshot: Snapshot,
    files: Iterable[SnapshotFile],
    packages: Mapping[str, Path],
) -> None:
    for file in files:
        copy = target / PurePosixPath(file.path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(snapshot.path_of(file).read_bytes())
    modules = target / "node_modules"
    modules.mkdir()
    for name, place in packages.items():
        (modules / name).symlink_to(place, target_is_directory=True)


def _directory(files: Iterable[SnapshotFile], profile: Profile) -> str:
    folders = {parent.as_posix() for file in files for parent in PurePosixPath(file.path).parents}
    for glob in profile.tests.directories:
        for folder in sorted(folders):
            if matches_glob(folder, glob):
                return folder
    return "."


def _aliases(workspace: LibraryWorkspace) -> dict[str, str]:
    return {
        specifier: Path(targets[0]).relative_to(workspace.root).as_posix()
        for specifier, targets in workspace.paths.items()
        if not specifier.endswith("/*")
    }


def run_suite(
    suite: Suite,
    *,
    overrides: Mapping[str, str] | None = None,
    files: Sequence[str] | None = None,
    workers: int = 1,
    stop_at_first_failure: bool = False,
) -> SuiteRun:
    """Run the tests of `suite` in the sandbox.

    overrides: repository path to the text that the file has in this run.
    files: repository paths of the test files to run; None means all of them.
    workers: processes that run test files side by side.
    stop_at_first_failure: enough to know that something fails; saves the time of the rest.

    Raises QiPipelineError for a path that the suite does not hold, and SandboxRefusedError when
    this machine does not grant a layer of the sandbox.
    """
    overrides = overrides or {}
    chosen = suite.test_files if files is None else tuple(files)
    _require_known(suite, [*overrides, *chosen])
    nonce = secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="qi-suite-") as temporary:
        # The temporary folder itself is readable for this user alone, which inside may be another.
        root = Path(temporary).resolve() / "library"
        shutil.copytree(suite.root, root, symlinks=True)
        for path, text in overrides.items():
            (root / path).write_text(text, encoding="utf-8")
        request = {
            "nonce": nonce,
            "vitest": str(suite.toolchain.package("vitest").resolve()),
            "root": str(root),
            "files": list(chosen),
            "aliases": {name: str(root / path) for name, path in suite.aliases.items()},
            "workers": workers,
            "stop_at_first_failure": stop_at_first_failure,
        }
        script = (HARNESS / "suite.mjs").resolve()
        outcome = suite.sandbox.run(
            [find_node(), "--max-old-space-size=1024", "--no-warnings", script],
            readable=[root, script, *suite.readable],
            directory=root / suite.directory,
            limits=suite.limits,
            stdin=json.dumps(request).encode(),
        )
    return _judge(outcome, nonce)


def _require_known(suite: Suite, paths: Iterable[str]) -> None:
    for path in paths:
        place = PurePosixPath(path)
        inside = not place.is_absolute() and ".." not in place.parts
        if not inside or place.parts[:1] == ("node_modules",) or not (suite.root / place).is_file():
            raise QiPipelineError(
                f"{path!r} is no file of the suite; expected a repository path of one of its "
                f"sources or tests, such as {suite.test_files[0]}"
            )


def _judge(outcome: ProcessOutcome, nonce: str) -> SuiteRun:
    record, output = split_verdict(outcome.stdout, nonce)
    shown = (output + outcome.stderr)[:_OUTPUT_SHOWN]
    if record is None:
        status: SuiteStatus = "crashed"
        if outcome.ending == "timed_out":
            status = "timed_out"
        elif outcome.succeeded:
            status = "no_verdict"
        reason = f"no verdict: {outcome.describe()}"
        return SuiteRun(status, (), (reason,), shown, outcome.seconds)
    tests = tuple(TestOutcome(**test) for test in record["tests"])
    errors = tuple(record["errors"])
    passed = not errors and all(test.status != "failed" for test in tests)
    if passed and not any(test.status == "passed" for test in tests):
        errors = (NO_TEST_RAN,)
        passed = False
    return SuiteRun("passed" if passed else "failed", tests, errors, shown, outcome.seconds)
