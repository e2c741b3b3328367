"""Which conventions a library itself breaks: `python -m benchmarks.violations SOURCE`.

Every TypeScript file of the snapshot is judged where it stands, beside all others; code blocks of
documents and notebooks are judged as the complete modules that extraction makes of them. Prints how
often each rule is broken in each kind of source, what the rules find and miss on the labelled
fixtures of the tests, and how long judging took. The library's own implementation reads tags and
values where it has to: it is what the conventions protect.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.settings import Settings
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.program import SourceProgram
from qi_pipeline.validation.verdict import RuleViolation
from qi_pipeline.validation.workspace import prepare_library
from qi_pipeline_tests.validation.labelled import judge_fixtures

_FILES = ("implementation", "app", "test")
_DOCUMENTS = ("tutorial", "api_doc", "notebook")

Found = Mapping[str, Iterable[RuleViolation]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the library's git repository")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--list", metavar="RULE", help="print where one rule is broken")
    options = parser.parse_args()
    profile, settings = load_profile(), Settings()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        snapshot = take_snapshot(
            options.source, options.revision, profile, folder / "snapshots", folder / "mirrors"
        )
        library = prepare_library(snapshot, profile, settings.cache_dir)
        started = time.perf_counter()
        by_file = _judge_files(snapshot, profile, settings.toolchain_dir, library.node_modules)
        in_files = time.perf_counter() - started
        extraction = extract_patterns(snapshot, profile)
        units = [*extraction.patterns, *extraction.untyped]
        blocks = [row for row in units if row.source_kind in _DOCUMENTS]
        with Checker(library, profile, settings.toolchain_dir) as checker:
            verdicts = checker.check_modules({row.id: row.implementation for row in blocks})
        sample = build_sample_repository(folder / "sample")
        found, missed, labelled = judge_fixtures(folder / "sample", settings.toolchain_dir)
    kinds = {file.path: file.kind for file in snapshot.files} | {
        row.id: row.source_kind for row in blocks
    }
    violations: dict[str, tuple[RuleViolation, ...]] = {
        **by_file,
        **{name: verdict.rules for name, verdict in verdicts.items()},
    }
    print(f"{options.source} at {snapshot.commit[:12]}")
    _print_table(profile, violations, kinds)
    print(f"judging {len(by_file)} files in place took {in_files:.1f} s, compiler start included")
    print(
        f"labelled fixtures ({labelled} violations, sample library {sample[:12]}): "
        f"{len(found)} false positives, {len(missed)} false negatives"
    )
    if options.list:
        places = {row.id: f"{row.metadata.source_file} ({row.container})" for row in blocks}
        _print_places(options.list, violations, places)


def _judge_files(
    snapshot: Snapshot, profile: Profile, toolchain: Path, node_modules: Path
) -> dict[str, tuple[RuleViolation, ...]]:
    texts = {
        file.path: snapshot.read_text(file)
        for file in snapshot.files
        if file.kind in _FILES and file.path.endswith(".ts")
    }
    with SourceProgram(texts, profile, toolchain, node_modules=node_modules) as program:
        return program.violations(list(texts))


def _print_table(profile: Profile, violations: Found, kinds: Mapping[str, str]) -> None:
    counts = Counter((kinds[name], rule.id) for name, rules in violations.items() for rule in rules)
    sizes = Counter(kinds[name] for name in violations)
    broken = Counter(
        kinds[name]
        for name, rules in violations.items()
        if any(rule.severity == "error" for rule in rules)
    )
    columns = [*_FILES, *_DOCUMENTS]
    print("rule " + "".join(f"{kind:>15}" for kind in columns))
    for rule in profile.rules:
        print(f"{rule:<5}" + "".join(f"{counts[kind, rule]:>15}" for kind in columns))
    print("units" + "".join(f"{sizes[kind]:>15}" for kind in columns))
    print("break" + "".join(f"{broken[kind]:>15}" for kind in columns) + "  an error-severity rule")


def _print_places(rule: str, violations: Found, places: Mapping[str, str]) -> None:
    for name, rules in sorted(violations.items()):
        for violation in rules:
            if violation.id == rule:
                print(f"{places.get(name, name)}:{violation.line}: {violation.message}")


if __name__ == "__main__":
    main()
