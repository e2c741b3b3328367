"""How fast extraction is: `python -m benchmarks.extraction SOURCE [--revision REVISION]`.

Prints the machine, the size of the input, and the median seconds and lines per second of five runs.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from qi_pipeline.extraction.extract import Extraction, extract_patterns
from qi_pipeline.library.profile import load_profile
from qi_pipeline.source.take import take_snapshot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the library's git repository")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--profile", default="qicore", help="profile name or path")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    profile = load_profile(options.profile)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        snapshot = take_snapshot(
            options.source,
            options.revision,
            profile,
            Path(folder) / "snapshots",
            Path(folder) / "mirrors",
        )
        lines = sum(
            snapshot.read_text(file).count("\n")
            for file in snapshot.files
            if file.kind != "manifest"
        )
        seconds: list[float] = []
        found: Extraction | None = None
        for _ in range(options.runs):
            start = time.perf_counter()
            found = extract_patterns(snapshot, profile)
            seconds.append(time.perf_counter() - start)
    if found is None:
        parser.error("--runs must be at least 1")
    median = statistics.median(seconds)
    print(
        f"commit {snapshot.commit[:12]}: {found.files_read} files, {lines} lines, "
        f"{len(found.patterns)} patterns, {len(found.calls)} calls"
    )
    print(
        f"median of {len(seconds)} runs: {median:.3f} s, {lines / median:.0f} lines/s "
        f"(fastest {min(seconds):.3f} s, slowest {max(seconds):.3f} s)"
    )


if __name__ == "__main__":
    main()
