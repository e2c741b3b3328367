"""Type, category and complexity of a unit, from measured features.

Flows in: the library symbols a unit calls and its syntax. Flows out: the labels of its `Pattern`.
Which symbol is evidence of which type is data in the profile.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from tree_sitter import Node

from qi_pipeline.extraction.pattern import Category, PatternType
from qi_pipeline.extraction.syntax import captures
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
_MIN_COMPOSED = 2
"""Distinct combinators that make a service's use a composition with it."""

_DECISIONS = """
(if_statement) @d
(for_statement) @d
(for_in_statement) @d
(while_statement) @d
(do_statement) @d
(switch_case) @d
(catch_clause) @d
(ternary_expression) @d
(binary_expression operator: ["&&" "||" "??"]) @d
"""


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
    lines: int


def measure(nodes: Sequence[Node], symbols: Iterable[str]) -> Features:
    """Measure a unit made of `nodes` that calls the qualified library `symbols`."""
    decisions = sum(len(captures(_DECISIONS, node).get("d", [])) for node in nodes)
    return Features(
        symbols=len(set(symbols)),
        complexity=decisions + 1,
        depth=max((_function_depth(node) for node in nodes), default=0),
        awaits=sum(len(captures("(await_expression) @a", node).get("a", [])) for node in nodes),
        lines=sum(node.end_point.row - node.start_point.row + 1 for node in nodes),
    )


_FUNCTIONS = """
(arrow_function) @f
(function_expression) @f
(function_declaration) @f
(generator_function) @f
(generator_function_declaration) @f
(method_definition) @f
"""


def _function_depth(root: Node) -> int:
    deepest = 0
    open_until: list[int] = []
    for function in captures(_FUNCTIONS, root).get("f", []):
        while open_until and open_until[-1] <= function.start_byte:
            open_until.pop()
        open_until.append(function.end_byte)
        deepest = max(deepest, len(open_until))
    return deepest


def difficulty(features: Features) -> float:
    """Return a score that grows with every feature.

    The weights make one more library symbol count as much as two decision points, one level of
    nested functions, two awaits or ten lines.
    """
    return (
        features.symbols
        + 0.5 * (features.complexity - 1)
        + max(0, features.depth - 1)
        + 0.5 * features.awaits
        + features.lines / 10
    )


# Upper bounds of difficulty, calibrated on the units of the real library and of the sample so
# that every category is populated in both.
_BOUNDS: tuple[tuple[float, Category], ...] = (
    (4.0, "basic"),
    (8.0, "intermediate"),
    (15.0, "advanced"),
)


def categorize(features: Features) -> Category:
    """Return the category of a unit with these features."""
    score = difficulty(features)
    return next((category for bound, category in _BOUNDS if score < bound), "expert")


def classify(symbols: Iterable[str], name: str, profile: Profile) -> PatternType | None:
    """Return the pattern type of a unit, or None when no symbol is evidence of any.

    `symbols` are the qualified symbols it calls, `name` its declared name. Two services (config,
    logger, cache) together, or one with at least two distinct combinators, are an integration; a
    unit named like a factory is one; otherwise the type with most distinct symbols wins.
    """
    evidence = Counter(
        cast("PatternType", profile.type_of_symbol[symbol])
        for symbol in set(symbols)
        if symbol in profile.type_of_symbol
    )
    if not evidence:
        return None
    services = _SERVICES & evidence.keys()
    composed = evidence["functional_composition"] >= _MIN_COMPOSED
    if len(services) > 1 or (services and composed):
        return "integration_patterns"
    if re.match(profile.conventions.factory_names, name):
        return "factory_functions"
    if services:
        return next(t for t in _RARITY if t in services)
    return max(_RARITY, key=lambda t: (evidence[t], -_RARITY.index(t)))
