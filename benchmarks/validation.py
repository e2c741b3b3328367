"""How long extraction and grading of a whole library take, and what comes of it.

Run: python benchmarks/validation.py SOURCE [--revision REV] [--runs N]
The npm dependencies are installed once before the clock starts. Prints the median of N runs, and
the grades of the typed patterns by the kind of their source.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd

from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.library.profile import load_profile
from qi_pipeline.recognition.duplicates import cluster_near_duplicates
from qi_pipeline.settings import Settings
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.members import CheckedMembers
from qi_pipeline.validation.patterns import grade_patterns, grading_figures
from qi_pipeline.validation.verdict import ValidatedPattern
from qi_pipeline.validation.workspace import prepare_library


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    profile, settings = load_profile(), Settings()
    oracle = CheckedMembers(profile, settings.toolchain_dir)
    extracting: list[float] = []
    validating: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        snapshot = take_snapshot(
            options.source, options.revision, profile, folder / "snapshots", folder / "mirrors"
        )
        library = prepare_library(snapshot, profile, settings.cache_dir)
        for _ in range(options.runs):
            started = time.perf_counter()
            extraction = extract_patterns(snapshot, profile, oracle=oracle)
            extracting.append(time.perf_counter() - started)
            started = time.perf_counter()
            texts = {pattern.id: pattern.implementation for pattern in extraction.patterns}
            with Checker(library, profile, settings.toolchain_dir) as checker:
                clusters = cluster_near_duplicates(texts)
                rows = grade_patterns(extraction.patterns, (), checker, clusters, {}, ())
            validating.append(time.perf_counter() - started)
    print(f"machine     {platform.machine()}, Python {platform.python_version()}")
    print(f"library     {options.source} at {snapshot.commit[:12]}, {extraction.files_read} files")
    print(f"extraction  {statistics.median(extracting):6.2f} s, {len(texts)} patterns")
    print(f"grading     {statistics.median(validating):6.2f} s, compiler start included")
    print(pd.crosstab([row.pattern.source_kind for row in rows], [_grade(row) for row in rows]))
    print(json.dumps(grading_figures(rows), indent=2))


def _grade(row: ValidatedPattern) -> str:
    return f"{row.status}, stale" if row.stale else row.status


if __name__ == "__main__":
    main()
