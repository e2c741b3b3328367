"""Ask for a test of a unit: the task kind `test`.

Flows in: patterns and the library's reference. Flows out: samples that show one implementation unit
and answer with a test case that the library itself keeps for it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from qi_pipeline.datasets.interface import withheld_code
from qi_pipeline.datasets.reference import Reference
from qi_pipeline.datasets.samples import Sample, fenced, pick
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.extraction.syntax import parse_module
from qi_pipeline.extraction.units import called_name, cases_below

_REQUESTS: Final = (
    "Write a vitest test case for `{name}` from {package}: {title}.",
    "Test `{name}` from {package} with vitest. The case: {title}.",
    "Add a vitest case that covers this for `{name}` ({package}): {title}.",
)


def is_test_case(pattern: Pattern) -> bool:
    """Tell whether a pattern is a test case, not a helper that stands beside test cases."""
    return pattern.source_kind == "test" and any(
        called_name(statement) is not None and any(cases_below(statement))
        for statement in parse_module(pattern.implementation).root.named_children
    )


def unit_test_samples(patterns: Sequence[Pattern], reference: Reference) -> list[Sample]:
    """Return a sample for each test case whose titles and calls name one unit of the library."""
    units = {
        symbol: pattern
        for pattern in sorted(patterns, key=lambda pattern: pattern.id, reverse=True)
        if pattern.source_kind == "implementation"
        and (symbol := reference.units.get((pattern.metadata.source_file, pattern.container)))
    }
    return [
        _sample(test, symbol, units[symbol])
        for test in patterns
        if is_test_case(test) and (symbol := _tested_symbol(test, units)) is not None
    ]


def _tested_symbol(test: Pattern, units: Mapping[str, Pattern]) -> str | None:
    """Return the one unit that a test calls and whose name stands in its titles."""
    titles = set(re.findall(r"[\w$]+", test.container))
    named = [
        symbol for symbol in test.symbols if symbol in units and symbol.rpartition(":")[2] in titles
    ]
    return named[0] if len(named) == 1 else None


def _sample(test: Pattern, symbol: str, unit: Pattern) -> Sample:
    package, _, name = symbol.rpartition(":")
    title = test.container.rpartition(" > ")[2]
    request = pick(_REQUESTS, f"{test.id} test")
    code = test.implementation.strip("\n")
    return Sample(
        id=f"{test.id}-test",
        origin=test.id,
        kind="test",
        phrasing="test",
        instruction=request.format(name=name, package=package, title=title),
        answer=code,
        given=fenced(unit.implementation),
        withheld=withheld_code(code),
        shown=unit.id,
    )
