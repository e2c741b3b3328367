"""How fast extraction is: `python -m benchmarks.extraction SOURCE [--revision REVISION]`.

Prints the machine, the size of the input, and the median wall seconds and lines per second of
several runs: cold (no cache, no type checker), warm (everything cached),
and, with `--members`, cold with the type checker asked about the members that syntax leaves open.
Processor seconds stand beside the wall time: on a busy machine they are what to compare.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qi_pipeline.extraction.cache import ExtractionCache
from qi_pipeline.extraction.extract import Extraction, extract_patterns
from qi_pipeline.library.profile import load_profile
from qi_pipeline.settings import Settings
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.members import CheckedMembers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the library's git repository")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--profile", default="qicore", help="profile name or path")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--members", action="store_true", help="also ask the type checker")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    profile = load_profile(options.profile)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        snapshot = take_snapshot(
            options.source, options.revision, profile, folder / "snapshots", folder / "mirrors"
        )
        lines = line_count(snapshot)
        found = extract_patterns(snapshot, profile)
        print(
            f"commit {snapshot.commit[:12]}: {found.files_read} files, {lines} lines, "
            f"{len(found.patterns)} patterns, {len(found.untyped)} untyped, "
            f"{len(found.left_out)} left out, {len(found.calls)} calls, "
            f"{found.undecided} members undecided"
        )
        runs = options.runs
        measure("cold", lines, runs, lambda: extract_patterns(snapshot, profile))
        cache = ExtractionCache(folder / "cache")
        extract_patterns(snapshot, profile, cache=cache)
        measure("warm", lines, runs, lambda: extract_patterns(snapshot, profile, cache=cache))
        if options.members:
            oracle = CheckedMembers(profile, Settings().toolchain_dir)
            measure(
                "cold, type checker",
                lines,
                runs,
                lambda: extract_patterns(snapshot, profile, oracle=oracle),
            )


def line_count(snapshot: Snapshot) -> int:
    files = (file for file in snapshot.files if file.kind != "manifest")
    return sum(snapshot.read_text(file).count("\n") for file in files)


def measure(name: str, lines: int, runs: int, run: Callable[[], Extraction]) -> None:
    wall: list[float] = []
    processor: list[float] = []
    for _ in range(runs):
        started, used = time.perf_counter(), time.process_time()
        found = run()
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    median, least = statistics.median(wall), min(processor)
    print(
        f"{name:20} median of {runs}: {median:.3f} s, {lines / median:8.0f} lines/s; "
        f"least processor time {least:.3f} s, {lines / least:8.0f} lines/s; "
        f"{found.counts.reused} files reused, {found.counts.extracted} extracted"
    )


if __name__ == "__main__":
    main()
