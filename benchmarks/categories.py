"""Whether the measured categories say what they should: `python -m benchmarks.categories SOURCE`.

Prints category x source kind counts, the mean of each feature per category, and the mean category
rank (basic 0 to expert 3) of each example app beside the category that the library itself puts it
in. Ends with status 1 when a category is empty, or when an app that the library grades lower has a
mean rank that is not lower.
"""

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean

from qi_pipeline.extraction.classification import Features, measure
from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.extraction.pattern import CATEGORIES, SOURCE_KINDS, Pattern
from qi_pipeline.extraction.syntax import parse_module
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.source.take import take_snapshot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the git repository, or `sample`")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--profile", default="qicore", help="profile name or path")
    options = parser.parse_args()
    profile = load_profile(options.profile)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = options.source
        if source == "sample":
            build_sample_repository(folder / "sample")
            source = str(folder / "sample")
        snapshot = take_snapshot(
            source, options.revision, profile, folder / "snapshots", folder / "mirrors"
        )
        patterns = extract_patterns(snapshot, profile).patterns
    print(f"commit {snapshot.commit[:12]}: {len(patterns)} patterns")
    print_counts(patterns)
    print_features(patterns, profile)
    ranks = app_ranks(patterns, profile)
    print_apps(ranks, profile)
    problems = [f"nothing is {c}" for c in CATEGORIES if all(p.category != c for p in patterns)]
    if options.source != "sample":
        # The grades are the real library's; the sample's apps share no more than the names.
        problems += disagreements({app: mean(found) for app, found in ranks.items()}, profile)
    for problem in problems:
        print(f"problem: {problem}")
    sys.exit(1 if problems else 0)


def print_counts(patterns: Sequence[Pattern]) -> None:
    counts = Counter((pattern.category, pattern.source_kind) for pattern in patterns)
    print("\n" + _line("category", [*SOURCE_KINDS, "all"]))
    for category in CATEGORIES:
        row = [counts[category, kind] for kind in SOURCE_KINDS]
        print(_line(category, [*row, sum(row)]))


def print_features(patterns: Sequence[Pattern], profile: Profile) -> None:
    """Print feature means, measured on the complete modules."""
    names = [field.name for field in fields(Features)]
    print("\n" + _line("category", names))
    for category in CATEGORIES:
        found = [_features(p, profile) for p in patterns if p.category == category]
        if found:
            means = [f"{mean(getattr(item, name) for item in found):.1f}" for name in names]
            print(_line(category, means))


def _features(pattern: Pattern, profile: Profile) -> Features:
    module = parse_module(pattern.implementation)
    code = [node for node in module.root.named_children if node.type != "import_statement"]
    return measure(code, pattern.symbols, profile)


def app_ranks(patterns: Sequence[Pattern], profile: Profile) -> dict[str, list[int]]:
    """Return the category ranks of the units of each app folder."""
    ranks: defaultdict[str, list[int]] = defaultdict(list)
    for pattern in patterns:
        if pattern.source_kind == "app":
            parts = profile.layout_free_path(pattern.metadata.source_file).split("/")
            ranks[parts[1]].append(CATEGORIES.index(pattern.category))
    return dict(ranks)


def print_apps(ranks: Mapping[str, Sequence[int]], profile: Profile) -> None:
    print("\n" + _line("app", ["units", "mean rank", "graded as"]))
    for app, found in sorted(ranks.items(), key=lambda item: mean(item[1])):
        graded = profile.graded_apps.get(app, "-")
        print(_line(app, [len(found), f"{mean(found):.2f}", graded]))


def disagreements(ranks: Mapping[str, float], profile: Profile) -> list[str]:
    """Return the pairs of graded apps whose mean ranks stand the other way round."""
    graded = [
        (CATEGORIES.index(grade), app) for app, grade in profile.graded_apps.items() if app in ranks
    ]
    return [
        f"{easier} ({ranks[easier]:.2f}) is graded below {harder} ({ranks[harder]:.2f})"
        for low, easier in graded
        for high, harder in graded
        if low < high and ranks[easier] >= ranks[harder]
    ]


def _line(head: str, cells: Sequence[object]) -> str:
    return f"{head:20}" + "".join(f"{cell!s:>15}" for cell in cells)


if __name__ == "__main__":
    main()
