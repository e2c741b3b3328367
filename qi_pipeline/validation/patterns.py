"""Which patterns are fit to learn from.

Flows in: `Pattern` rows, a checker and the near-duplicate clusters. Flows out: one
`ValidatedPattern` for each row; a rejected row stays, with its reasons. Finding near-duplicates
belongs to `recognition`, choosing samples to `datasets`.
"""

from collections.abc import Iterator, Mapping, Sequence

from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.verdict import ValidatedPattern, Verdict

_REASON_CHARACTERS = 160


def validate_patterns(
    patterns: Sequence[Pattern], checker: Checker, clusters: Mapping[str, str]
) -> list[ValidatedPattern]:
    """Return a row for each pattern, in the given order.

    `clusters` maps pattern id to cluster id; an id it lacks is a cluster of its own. A row is kept
    when its module compiles, breaks no rule and is the first of its cluster by id, compliant rows
    before others; exact copies count as one cluster whatever `clusters` says.
    """
    verdicts = checker.check_modules({row.id: row.implementation for row in patterns})
    groups = _groups(patterns, clusters)
    representatives = _representatives(patterns, groups, verdicts)
    smallest: dict[str, str] = {}
    for row in patterns:
        group = groups[row.id]
        smallest[group] = min(smallest.get(group, row.id), row.id)
    return [
        _validated(row, verdicts[row.id], representatives[groups[row.id]], smallest[groups[row.id]])
        for row in patterns
    ]


def _groups(patterns: Sequence[Pattern], clusters: Mapping[str, str]) -> dict[str, str]:
    """Return pattern id to a group that joins its cluster with those of its exact copies."""
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        while parents.setdefault(key, key) != key:
            key = parents[key]
        return key

    for row in patterns:
        cluster = root(f"cluster {clusters.get(row.id, row.id)}")
        parents[cluster] = root(f"text {row.implementation}")
    return {row.id: root(f"text {row.implementation}") for row in patterns}


def _representatives(
    patterns: Sequence[Pattern], groups: Mapping[str, str], verdicts: Mapping[str, Verdict]
) -> dict[str, str]:
    best: dict[str, tuple[bool, str]] = {}
    for row in patterns:
        rank = (not verdicts[row.id].complies, row.id)
        best[groups[row.id]] = min(best.get(groups[row.id], rank), rank)
    return {group: pattern_id for group, (_, pattern_id) in best.items()}


def _validated(
    row: Pattern, verdict: Verdict, representative: str, cluster: str
) -> ValidatedPattern:
    reasons = list(_faults(verdict))
    if row.id != representative:
        reasons.append(f"duplicate of {representative}")
    return ValidatedPattern(
        pattern=row,
        verdict=verdict,
        status="rejected" if reasons else "kept",
        reasons=tuple(reasons),
        duplicate_cluster=cluster,
    )


def _faults(verdict: Verdict) -> Iterator[str]:
    """Yield one reason for each distinct compiler code and each distinct rule."""
    messages: dict[str, str] = {}
    for diagnostic in verdict.diagnostics:
        first_line = diagnostic.message.split("\n", 1)[0].strip()
        messages.setdefault(f"TS{diagnostic.code}", first_line)
    for violation in verdict.rules:
        messages.setdefault(violation.id, violation.message)
    for name, message in messages.items():
        yield f"{name}: {_shortened(message)}"


def _shortened(message: str) -> str:
    if len(message) <= _REASON_CHARACTERS:
        return message
    return message[: _REASON_CHARACTERS - 3].rstrip() + "..."
