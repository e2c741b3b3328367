"""How fast the history is read: `python -m benchmarks.evolution SOURCE [--revision REVISION]`.

Prints the machine, the size of the history, and for two runs - with an empty cache, then again -
the seconds, the states and files surveyed and the questions put to the compiler.
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

from qi_pipeline.evolution.analysis import analyse
from qi_pipeline.evolution.evolve import evolve
from qi_pipeline.library.profile import load_profile
from qi_pipeline.settings import Settings
from qi_pipeline.source.location import locate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the library's git repository")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--profile", default="qicore", help="profile name or path")
    options = parser.parse_args()
    profile = load_profile(options.profile)
    toolchain_dir = Settings().toolchain_dir
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        location = locate(options.source, options.revision, Path(folder) / "mirrors")
        for name in ("first", "second"):
            start = time.perf_counter()
            evolution = evolve(
                location.repository, location.commit, profile, toolchain_dir, Path(folder)
            )
            read = time.perf_counter() - start
            report = analyse(evolution, profile)
            analysed = time.perf_counter() - start - read
            work = evolution.work
            print(
                f"{name} run: {read:.2f} s (history {work.seconds['history']:.2f}, survey "
                f"{work.seconds['survey']:.2f}, renames {work.seconds['renames']:.2f}), analysis "
                f"{analysed:.2f} s; {work.states_surveyed} states surveyed, {work.files_read} "
                f"files read, {work.modules_judged} modules judged by the compiler"
            )
    print(
        f"{work.commits} commits on the main line, {report.changed_commits} change relevant files, "
        f"{work.blobs} blobs, {len(report.symbols)} symbols ever exported"
    )


if __name__ == "__main__":
    main()
