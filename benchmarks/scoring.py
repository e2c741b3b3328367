"""How fast answers are scored: `python -m benchmarks.scoring SOURCE [--answers 1000]`.

Compiler, rules and tests of the given number of answers, made from the bundled suite's references:
as they are, and with one mutation each (so they differ, as a model's answers do). Prints the time
of each part alone and of all of it, with the machine.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from itertools import islice, zip_longest
from pathlib import Path

from qi_pipeline.evaluation.judge import Judge, Submission
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.sandbox.bundle import Toolchain
from qi_pipeline.sandbox.modules import ModuleTest, prepare_tester
from qi_pipeline.sandbox.mutants import make_mutants
from qi_pipeline.sandbox.mutation import usable_cores
from qi_pipeline.sandbox.sandbox import Sandbox
from qi_pipeline.settings import Settings
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.workspace import prepare_library


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the git repository, or `sample`")
    parser.add_argument("--answers", type=int, default=1000)
    options = parser.parse_args()
    profile, settings = load_profile(), Settings()
    print(f"{platform.platform()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        source = options.source
        if source == "sample":
            source = str(folder / "sample")
            build_sample_repository(folder / "sample")
        snapshot = take_snapshot(source, "HEAD", profile, folder / "snapshots", folder / "mirrors")
        library = prepare_library(snapshot, profile, settings.cache_dir)
        tester = prepare_tester(library, settings.toolchain_dir, settings.cache_dir)
        submissions = _submissions(options.answers, Toolchain(settings.toolchain_dir))
        with Checker(library, profile, settings.toolchain_dir) as checker:
            checker.check_module("export {};")
            _measure(Judge(checker, tester, usable_cores()), submissions)


def _submissions(count: int, toolchain: Toolchain) -> list[Submission]:
    tasks = load_tasks(bundled_suite())
    mutants = make_mutants({task.id: task.reference for task in tasks}, toolchain, Sandbox())
    columns = [[task.reference, *(m.module for m in mutants[task.id])] for task in tasks]
    rows = zip_longest(*columns)
    answers = (
        Submission(task, code)
        for row in rows
        for task, code in zip(tasks, row, strict=True)
        if code is not None
    )
    chosen = list(islice(answers, count))
    if len(chosen) < count:
        print(f"the suite's references have {len(chosen)} variants only")
    return chosen


def _measure(judge: Judge, submissions: Sequence[Submission]) -> None:
    n = len(submissions)
    texts = {str(number): one.code for number, one in enumerate(submissions)}
    tests = {str(n): ModuleTest(one.code, one.task.test) for n, one in enumerate(submissions)}
    parts = {
        "compiler and rules": lambda: judge.verdicts(texts),
        "tests in the sandbox": lambda: judge.tester.run_many(tests, workers=judge.workers),
        "all, with BLEU and chrF": lambda: judge.judge(submissions),
    }
    for name, part in parts.items():
        start = time.perf_counter()
        found = part()
        seconds = time.perf_counter() - start
        print(f"{name:<26}{seconds:>7.1f} s for {n} answers, {1000 * seconds / n:.1f} ms each")
    passing = sum(one.score.passes for one in found if hasattr(one, "score"))
    print(f"{passing} of {n} answers pass")


if __name__ == "__main__":
    main()
