"""Types, category and complexity of a unit, from measured features.

Flows in: the library symbols a unit calls and its syntax. Flows out: the labels of its `Pattern`.
Which symbol is evidence of which type, and what makes an integration, is data in the profile.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log2
from typing import cast

from tree_sitter import Node

from qi_pipeline.extraction.pattern import Category, PatternType
from qi_pipeline.extraction.scopes import Occurrences
from qi_pipeline.library.profile import Profile

# Services outrank composition, composition outranks errors, and plain creation is everywhere:
# on equal evidence the rarer type says more about the unit.
_RARITY: tuple[PatternType, ...] = (
    "config_management",
    "logger_integration",
    "cache_patterns",
    "functional_composition",
    "error_handling",
    "result_creation",
)
_SERVICES = frozenset(_RARITY[:3])


@dataclass(frozen=True)
class Features:
    """What is measured of one unit."""

    symbols: int
    """Distinct library symbols called."""
    complexity: int
    """McCabe's cyclomatic number: decision points + 1 (IEEE TSE 1976)."""
    depth: int
    """Deepest nesting of functions inside the unit."""
    awaits: int
    error_paths: int
    """Catch clauses and distinct symbols that make, change or handle errors."""
    lines: int


def measure(
    nodes: Sequence[Node],
    symbols: Iterable[str],
    profile: Profile,
    occurrences: Occurrences | None = None,
) -> Features:
    """Measure a unit made of `nodes` that calls the qualified library `symbols`.

    `occurrences` are those of the file, where they are known.
    """
    used = set(symbols)
    found = [(occurrences or Occurrences(node), node) for node in nodes]

    def count(capture: str) -> int:
        return sum(len(item.within(capture, node)) for item, node in found)

    handled = sum(profile.type_of_symbol.get(symbol) == "error_handling" for symbol in used)
    return Features(
        symbols=len(used),
        complexity=count("decision") + 1,
        depth=max((_depth(item.within("function", node)) for item, node in found), default=0),
        awaits=count("await"),
        error_paths=count("catch") + handled,
        lines=sum(node.end_point.row - node.start_point.row + 1 for node in nodes),
    )


def _depth(functions: Sequence[tuple[int, int]]) -> int:
    """Return how deep the functions, as (start, end) in source order, lie in each other."""
    deepest = 0
    open_until: list[int] = []
    for start, end in functions:
        while open_until and open_until[-1] <= start:
            open_until.pop()
        open_until.append(end)
        deepest = max(deepest, len(open_until))
    return deepest


def difficulty(features: Features) -> float:
    """Return a score that grows with every feature.

    One more library symbol weighs as much as one error path, two decision points, two levels of
    nested functions or a third of an await; size counts by its logarithm, since a long unit is
    often the same thing many times over.
    """
    return (
        features.symbols
        + features.error_paths
        + 0.5 * (features.complexity - 1)
        + 0.5 * max(0, features.depth - 1)
        + 3 * features.awaits
        + log2(1 + features.lines / 8)
    )


# Upper bounds of difficulty. Weights and bounds were calibrated on the units of the real library
# (e7d02fe): of a grid of round weights and of quantiles for the bounds, these put its example apps
# in the order in which it grades them itself (`graded_apps` in the profile; mean rank 0.8 for
# basic-result, 1.2 and 1.8 for the two about errors, 2.0 for config, 2.1 for async composition;
# `benchmarks/categories.py` prints them) and populate every category there and in the sample.
_BOUNDS: tuple[tuple[float, Category], ...] = (
    (4.0, "basic"),
    (9.0, "intermediate"),
    (16.0, "advanced"),
)


def categorize(features: Features) -> Category:
    """Return the category of a unit with these features."""
    score = difficulty(features)
    return next((category for bound, category in _BOUNDS if score < bound), "expert")


def classify(symbols: Iterable[str], name: str, profile: Profile) -> tuple[PatternType, ...]:
    """Return every type that a unit shows, the weightiest first; none when nothing is evidence.

    `symbols` are the qualified symbols it calls, `name` its declared name. An integration (see the
    profile) outweighs all else, then a name like a factory's, then the services (config, logger,
    cache), then the other types; within those the one with most distinct symbols, then the rarer.
    """
    evidence = Counter(
        cast("PatternType", profile.type_of_symbol[symbol])
        for symbol in set(symbols)
        if symbol in profile.type_of_symbol
    )
    if not evidence:
        return ()
    found = sorted(evidence, key=lambda t: (t not in _SERVICES, -evidence[t], _RARITY.index(t)))
    if re.match(profile.conventions.factory_names, name):
        found.insert(0, "factory_functions")
    if _is_integration(evidence, profile):
        found.insert(0, "integration_patterns")
    return tuple(found)


def _is_integration(evidence: Counter[PatternType], profile: Profile) -> bool:
    areas = profile.integration.areas.values()
    present = sum(
        sum(evidence[cast("PatternType", name)] for name in area.types) >= area.symbols
        for area in areas
    )
    return present >= profile.integration.minimum_areas
