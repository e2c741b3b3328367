"""Which library functions the library's own tests watch: `python -m benchmarks.noticed SOURCE`.

Every exported function gets a wrong body, which returns undefined; the test files that reach it, by
resolved calls or imports, run over it. Prints the counts per package, the functions that go
unnoticed or untested, and the seconds.

--all runs every test file for the functions that no test reaches by resolution: one that is noticed
there was missed by resolution. --own runs each function's own implementation, as its pattern has
it, in place of the library's: every one of them must pass.
"""

import argparse
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from qi_pipeline.extraction.extract import extract_patterns, read_library
from qi_pipeline.extraction.pattern import UntypedPattern
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.sandbox.mutation import (
    FunctionTester,
    LibraryTests,
    prepare_function_tester,
    reaching_tests,
    usable_cores,
)
from qi_pipeline.sandbox.suite import prepare_suite
from qi_pipeline.settings import Settings
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.members import CheckedMembers
from qi_pipeline.validation.workspace import prepare_library


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the git repository, or `sample`")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--all", action="store_true", help="all files for what none reaches")
    parser.add_argument("--own", action="store_true", help="each function's own pattern as well")
    options = parser.parse_args()
    profile, settings = load_profile(), Settings()
    print(f"{platform.platform()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        source = options.source
        if source == "sample":
            source = str(folder / "sample")
            build_sample_repository(folder / "sample")
        snapshot = take_snapshot(
            source, options.revision, profile, folder / "snapshots", folder / "mirrors"
        )
        workspace = prepare_library(snapshot, profile, settings.cache_dir)
        suite = prepare_suite(
            snapshot, workspace, profile, settings.toolchain_dir, settings.cache_dir
        )
        oracle = CheckedMembers(profile, settings.toolchain_dir)
        extraction = extract_patterns(snapshot, profile, oracle=oracle)
        library = read_library(snapshot, profile)
        reaching = reaching_tests(library, extraction.coverage, suite)
        tester = prepare_function_tester(suite, library, reaching)
        found = tester.judge_all(report=lambda line: print(line, flush=True))
        _show(found, snapshot.commit)
        if options.all:
            _show_missed(tester, found)
        if options.own:
            _show_own(tester, [*extraction.patterns, *extraction.untyped])


def _show(found: LibraryTests, commit: str) -> None:
    print(
        f"\ncommit {commit[:12]}: {found.baseline_passed} tests pass on the unchanged library, "
        f"{found.baseline_failed} fail{'; ' + found.problem if found.problem else ''}"
    )
    for package in sorted({function.symbol.split(":")[0] for function in found.functions}):
        own = [f for f in found.functions if f.symbol.startswith(f"{package}:")]
        counts = Counter(function.status for function in own)
        shown = ", ".join(f"{counts[s]} {s}" for s in ("noticed", "unnoticed", "untested"))
        print(f"{package}: {len(own)} functions: {shown}")
        for status in ("unnoticed", "untested"):
            names = [f.symbol.partition(":")[2] for f in own if f.status == status]
            print(f"  {status}: {', '.join(names) or 'none'}")
    for function in found.functions:
        if function.status == "noticed":
            print(f"  {function.symbol} <- {function.noticed_by}")
    print(f"{found.seconds:.1f} s")


def _show_missed(tester: FunctionTester, found: LibraryTests) -> None:
    untested = {f.symbol for f in found.functions if f.status == "untested"}
    everything = tuple(sorted(tester.baseline.passing))
    wider = replace(
        tester,
        functions=tuple(f for f in tester.functions if f.symbol in untested),
        test_files=dict.fromkeys(untested, everything),
    )
    again = wider.judge_all()
    missed = [f"{f.symbol} <- {f.noticed_by}" for f in again.functions if f.status == "noticed"]
    print(f"\nof {len(untested)} untested functions, all test files notice {len(missed)}")
    for line in missed:
        print(f"  {line}")
    print(f"{again.seconds - tester.baseline.seconds:.1f} s")


def _show_own(tester: FunctionTester, patterns: Iterable[UntypedPattern]) -> None:
    implementations = {
        (row.metadata.source_file, row.container): row.implementation for row in patterns
    }
    chosen = [
        (function, implementations[function.file, function.name])
        for function in tester.functions
        if (function.file, function.name) in implementations
    ]
    start = time.perf_counter()
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        runs = list(pool.map(lambda pair: tester.run_with_body(*pair), chosen))
    counts = Counter(run.status for run in runs)
    print(f"\n{len(chosen)} functions have a pattern; with it in their place: {dict(counts)}")
    for (function, _), run in zip(chosen, runs, strict=True):
        if run.status not in ("passed", "untested"):
            print(f"  {function.symbol}: {run.status}: {run.reason}")
    print(f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
