"""Which patterns are fit to learn from.

Flows in: patterns, units without a type, a checker, the near-duplicate clusters, what recognition
says and what people decided. Flows out: one `ValidatedPattern` for each: kept, repaired, in review
or rejected, with the reasons. Rows that are not learned from stay. How a module is repaired belongs
to `repair`, deciding to `queue`, finding near-duplicates to `recognition`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.exports import read_imports
from qi_pipeline.extraction.pattern import Pattern, UntypedPattern
from qi_pipeline.extraction.syntax import parse_module
from qi_pipeline.recognition.records import Recognition
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.names import LibraryNames
from qi_pipeline.validation.repair import Repair, complete_module, is_repairable, repair_module
from qi_pipeline.validation.review import (
    ReviewDecision,
    decided_texts,
    implementation_hash,
    standing_decisions,
    when_decided,
)
from qi_pipeline.validation.staleness import stale_uses, unknown_name
from qi_pipeline.validation.verdict import (
    LibraryTestsMark,
    Status,
    ValidatedPattern,
    Verdict,
)

_REASON_CHARACTERS = 160
_DOCUMENTS = frozenset({"tutorial", "api_doc", "notebook"})
_DISAGREEMENT_CONFIDENCE = 0.9
"""From here on a learned type that differs from the syntactic one is shown to a person."""
_QUEUE_SHARE = 0.05
"""Of all rows, how many may wait for review before disagreements on type stop adding to them."""
_ASSUMED_NAMES_IN_REVIEW = 1
"""A block with more undeclared names than this is nearer to an outline than to code."""
_RANKS: dict[Status, int] = {"kept": 0, "repaired": 1, "review": 2, "rejected": 3}


@dataclass(frozen=True)
class _Graded:
    """A row on its way to its status."""

    pattern: Pattern
    verdict: Verdict
    status: Status
    reasons: tuple[str, ...]
    recognition: Recognition | None
    original: str | None = None
    repairs: tuple[str, ...] = ()
    stale: bool = False
    decision: ReviewDecision | None = None


def grade_patterns(
    rows: Sequence[Pattern],
    untyped: Sequence[UntypedPattern],
    checker: Checker,
    clusters: Mapping[str, str],
    recognition: Mapping[str, Recognition],
    decisions: Sequence[ReviewDecision],
    library_tests: Mapping[str, LibraryTestsMark] | None = None,
) -> list[ValidatedPattern]:
    """Return a graded row for each pattern and each untyped unit, in the given order.

    `clusters` maps pattern id to cluster id; an id it lacks is a cluster of its own, and exact
    copies are one cluster whatever it says. `recognition` must know every untyped unit. Of several
    decisions on one pattern the last stands, and what is rejected or edited is so in every exact
    copy. `library_tests` maps the id of a pattern that
    implements a function of the library to what the library's own tests make of that function; it
    is noted on the row and decides nothing. Raises QiPipelineError for an untyped unit without a
    suggested type.
    """
    patterns = [*rows, *(_suggested(unit, recognition) for unit in untyped)]
    without_type = {unit.id for unit in untyped}
    verdicts = checker.check_modules({row.id: row.implementation for row in patterns})
    repaired = _Workshop(patterns, verdicts, checker).outcomes()
    graded = [
        _graded(row, verdicts[row.id], repaired.get(row.id), recognition.get(row.id))
        for row in patterns
    ]
    graded = [_asking_for_a_type(row) if row.pattern.id in without_type else row for row in graded]
    graded = _decided(graded, standing_decisions(decisions), checker)
    return _settled(graded, clusters, library_tests or {})


def _suggested(unit: UntypedPattern, recognition: Mapping[str, Recognition]) -> Pattern:
    found = recognition.get(unit.id)
    if found is None:
        raise QiPipelineError(
            f"recognition says nothing of the untyped unit {unit.id} "
            f"({unit.metadata.source_file}, {unit.container}); run it over the same extraction"
        )
    return unit.typed(found.suggested_type)


# ── repairs ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Outcome:
    """What became of a row that is not in order as it stands."""

    repair: Repair | None
    """Set when the repaired text complies."""
    verdict: Verdict
    stale: tuple[str, ...]
    assumed: tuple[str, ...]
    """Names that nothing declares, where the compiler misses nothing else."""


class _Workshop:
    """Repairs what can be repaired, all rows together: one batch of checks a round."""

    def __init__(
        self, patterns: Sequence[Pattern], verdicts: Mapping[str, Verdict], checker: Checker
    ) -> None:
        self._broken = [row for row in patterns if is_repairable(verdicts[row.id])]
        self._first = verdicts
        self._checker = checker
        self._names = LibraryNames(checker.library, checker.profile)
        self._siblings = _siblings(row for row in patterns if row.source_kind in _DOCUMENTS)
        self._attempts = {row.id: Repair(row.implementation, ()) for row in self._broken}
        self._latest = {row.id: verdicts[row.id] for row in self._broken}

    def outcomes(self) -> dict[str, _Outcome]:
        """Mend the imports of every row, then complete the blocks of documents."""
        self._check(
            {
                row.id: repair_module(
                    row.implementation,
                    self._first[row.id],
                    self._names,
                    is_document=row.id in self._siblings,
                    source_file=row.metadata.source_file,
                )
                for row in self._broken
            }
        )
        # With the imports in place the compiler sees how the library is used; what a completed
        # block takes from elsewhere must not count against it.
        stale = {row.id: self._stale(row) for row in self._broken if row.id in self._siblings}
        assumed = {row.id: _assumed(self._latest[row.id]) for row in self._broken}
        self._check(
            {
                key: complete_module(
                    self._attempts[key].text,
                    self._latest[key].diagnostics,
                    self._names,
                    self._siblings[key],
                )
                for key, uses in stale.items()
                if not uses and not self._latest[key].compiles
            }
        )
        return {
            key: _Outcome(
                repair=attempt if attempt.changes and self._latest[key].complies else None,
                verdict=self._latest[key],
                stale=stale.get(key, ()),
                assumed=assumed[key],
            )
            for key, attempt in self._attempts.items()
        }

    def _check(self, found: Mapping[str, Repair | None]) -> None:
        changed = {key: repair for key, repair in found.items() if repair is not None}
        texts = {key: repair.text for key, repair in changed.items()}
        for key, verdict in self._checker.check_modules(texts).items():
            self._attempts[key] = _followed(self._attempts[key], changed[key])
            self._latest[key] = verdict

    def _stale(self, row: Pattern) -> tuple[str, ...]:
        latest = self._latest[row.id]
        if latest.compiles:
            return ()
        uses = [
            *stale_uses(row.implementation, self._first[row.id].diagnostics, self._names),
            *stale_uses(self._attempts[row.id].text, latest.diagnostics, self._names),
        ]
        return tuple(dict.fromkeys(uses))


def _siblings(documents: Iterable[Pattern]) -> dict[str, list[str]]:
    """Return pattern id to the texts of its document's other blocks.

    Those above come first, the nearest at the front, then those below.
    """
    by_file: dict[str, list[Pattern]] = {}
    for row in documents:
        by_file.setdefault(row.metadata.source_file, []).append(row)
    found: dict[str, list[str]] = {}
    for rows in by_file.values():
        for row in rows:
            line = row.metadata.line_range[0]
            others = [other for other in rows if other.id != row.id]
            above = [other for other in others if other.metadata.line_range[0] < line]
            below = [other for other in others if other.metadata.line_range[0] >= line]
            above.sort(key=lambda other: (-other.metadata.line_range[0], other.id))
            below.sort(key=lambda other: (other.metadata.line_range[0], other.id))
            found[row.id] = [other.implementation for other in (*above, *below)]
    return found


def _followed(first: Repair, second: Repair) -> Repair:
    return Repair(
        second.text,
        tuple(dict.fromkeys((*first.changes, *second.changes))),
        tuple(dict.fromkeys((*first.doubts, *second.doubts))),
    )


_OF_UNKNOWN_TYPE = frozenset({18046, 7006, 7031, 2571})
"""What the compiler says of values whose type hangs on a name it does not know."""


def _assumed(verdict: Verdict) -> tuple[str, ...]:
    names = []
    for diagnostic in verdict.diagnostics:
        name = unknown_name(diagnostic)
        if name is not None:
            names.append(name)
        elif diagnostic.code not in _OF_UNKNOWN_TYPE:
            return ()
    return tuple(dict.fromkeys(names))


# ── grades ───────────────────────────────────────────────────────────────────────────────────────


def _graded(
    row: Pattern, verdict: Verdict, outcome: _Outcome | None, recognition: Recognition | None
) -> _Graded:
    if verdict.complies:
        return _Graded(row, verdict, "kept", (), recognition)
    if outcome is None:
        return _Graded(row, verdict, "rejected", tuple(_faults(verdict)), recognition)
    if outcome.repair is not None:
        return _Graded(
            _with_text(row, outcome.repair.text, outcome.verdict),
            outcome.verdict,
            "review" if outcome.repair.doubts else "repaired",
            outcome.repair.doubts,
            recognition,
            original=row.implementation,
            repairs=outcome.repair.changes,
        )
    # What compiles once repaired is rejected for the rules it breaks.
    faults = tuple(dict.fromkeys((*_faults(verdict), *_broken_rules(outcome.verdict))))
    if outcome.stale:
        reasons = (*outcome.stale, *faults)
        return _Graded(row, verdict, "rejected", reasons, recognition, stale=True)
    if not outcome.assumed or outcome.verdict.compiles:
        return _Graded(row, verdict, "rejected", faults, recognition)
    reasons = (f"assumes {', '.join(outcome.assumed)}, which nothing declares", *faults)
    nearly = (
        row.source_kind in _DOCUMENTS
        and len(outcome.assumed) <= _ASSUMED_NAMES_IN_REVIEW
        and not any(_broken_rules(outcome.verdict))
    )
    return _Graded(row, verdict, "review" if nearly else "rejected", reasons, recognition)


def _with_text(row: Pattern, text: str, verdict: Verdict) -> Pattern:
    """Return the pattern with another implementation and what follows from it."""
    specifiers = {item.specifier for item in read_imports(parse_module(text))}
    metadata = row.metadata.model_copy(update={"dependencies": tuple(sorted(specifiers))})
    symbols = tuple(sorted({*row.symbols, *verdict.symbols}))
    return row.model_copy(update={"implementation": text, "metadata": metadata, "symbols": symbols})


def _asking_for_a_type(row: _Graded) -> _Graded:
    """Send a unit without a type to review when there is something worth a person's time."""
    if row.status not in ("kept", "repaired") or row.recognition is None:
        return row
    found = row.recognition
    reason = (
        f"no type: {found.suggested_type} is suggested "
        f"(confidence {found.confidence:.2f}, novelty {found.novelty:.2f})"
    )
    return replace(row, status="review", reasons=(reason,))


# ── decisions ────────────────────────────────────────────────────────────────────────────────────


def _decided(
    graded: Sequence[_Graded], standing: Mapping[str, ReviewDecision], checker: Checker
) -> list[_Graded]:
    edits = {
        key: decision.edited_text
        for key, decision in standing.items()
        if decision.edited_text is not None
    }
    verdicts = checker.check_modules(edits)
    by_text = decided_texts(standing.values())
    decided = []
    for row in graded:
        decision = _decision_on(row.pattern, standing, by_text)
        if decision is None:
            decided.append(row)
        else:
            decided.append(_following(row, decision, verdicts.get(decision.pattern_id)))
    return decided


def _decision_on(
    pattern: Pattern, standing: Mapping[str, ReviewDecision], by_text: Mapping[str, ReviewDecision]
) -> ReviewDecision | None:
    """Return the decision on a pattern, or the one on an exact copy that says otherwise later."""
    own = standing.get(pattern.id)
    text = implementation_hash(pattern.implementation)
    copied = by_text.get(text)
    if copied is None:
        return own
    if own is not None and own.content_hash == text:
        return max(own, copied, key=when_decided)
    return copied


_PAST = {"accept": "accepted", "reject": "rejected", "edit": "edited"}


def _following(row: _Graded, decision: ReviewDecision, edited: Verdict | None) -> _Graded:
    """Return the row as the decision has it; one on another text sends the row to review."""
    past = _PAST[decision.decision]
    note = f": {decision.note}" if decision.note else ""
    if decision.pattern_id != row.pattern.id:
        note = f" as the exact copy {decision.pattern_id}{note}"
    if decision.content_hash != implementation_hash(row.pattern.implementation):
        reason = _shortened(f"changed since it was {past} in review{note}")
        # What a person cannot accept need not be shown to one.
        status: Status = "review" if row.status != "rejected" else "rejected"
        return replace(row, status=status, reasons=(*row.reasons, reason))
    row = replace(row, decision=decision, pattern=_retyped(row.pattern, decision))
    if decision.decision == "reject":
        return replace(row, status="rejected", reasons=(_shortened(f"rejected in review{note}"),))
    if edited is not None and decision.edited_text is not None:
        return _edited(row, decision.edited_text, edited)
    if row.verdict.complies:
        return replace(row, status="repaired" if row.repairs else "kept", reasons=())
    # The text is the one accepted, so it is the library that has changed.
    reason = "accepted in review, but does not comply with this revision of the library"
    return replace(row, status="rejected", reasons=(reason, *_faults(row.verdict)))


def _edited(row: _Graded, text: str, verdict: Verdict) -> _Graded:
    if not verdict.complies:
        reason = "edited in review, but does not comply with this revision of the library"
        return replace(row, status="review", reasons=(reason, *_faults(verdict)))
    return replace(
        row,
        pattern=_with_text(row.pattern, text, verdict),
        verdict=verdict,
        status="repaired",
        reasons=(),
        original=row.original or row.pattern.implementation,
        repairs=(*row.repairs, "edited: by a person in review"),
        stale=False,
    )


def _retyped(pattern: Pattern, decision: ReviewDecision) -> Pattern:
    if decision.type is None:
        return pattern
    others = tuple(kind for kind in pattern.types if kind not in (decision.type, pattern.type))
    return pattern.model_copy(update={"type": decision.type, "types": (decision.type, *others)})


# ── duplicates and disagreement ──────────────────────────────────────────────────────────────────


def _settled(
    graded: Sequence[_Graded],
    clusters: Mapping[str, str],
    library_tests: Mapping[str, LibraryTestsMark],
) -> list[ValidatedPattern]:
    """Keep one row of each cluster, then send the strongest disagreements on type to review."""
    groups = _groups([row.pattern for row in graded], clusters)
    best: dict[str, tuple[int, int, str]] = {}
    smallest: dict[str, str] = {}
    for row in graded:
        group, key = groups[row.pattern.id], row.pattern.id
        rank = (_standing(row), _RANKS[row.status], key)
        best[group] = min(best.get(group, rank), rank)
        smallest[group] = min(smallest.get(group, key), key)
    settled = [_unless_duplicate(row, best[groups[row.pattern.id]][-1]) for row in graded]
    disagreeing = _disagreeing(settled)
    return [
        ValidatedPattern(
            pattern=row.pattern,
            verdict=row.verdict,
            status="review" if row.pattern.id in disagreeing else row.status,
            reasons=(disagreeing[row.pattern.id],)
            if row.pattern.id in disagreeing
            else row.reasons,
            duplicate_cluster=smallest[groups[row.pattern.id]],
            original=row.original,
            repairs=row.repairs,
            stale=row.stale,
            recognition=row.recognition,
            decision=row.decision,
            library_tests=library_tests.get(row.pattern.id),
        )
        for row in settled
    ]


def _standing(row: _Graded) -> int:
    """Rank what a person let through first, and the row decided on before its exact copies."""
    if row.decision is None or row.status not in ("kept", "repaired"):
        return 2
    return 0 if row.decision.pattern_id == row.pattern.id else 1


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


def _unless_duplicate(row: _Graded, representative: str) -> _Graded:
    if row.pattern.id == representative:
        return row
    reasons = (*row.reasons, f"duplicate of {representative}")
    return replace(row, status="rejected", reasons=reasons)


def _disagreeing(rows: Sequence[_Graded]) -> dict[str, str]:
    """Return pattern id to the reason, for the usable rows that most surely have another type.

    A person's decision on a row ends the disagreement. Only as many are returned as the queue has
    room for: a longer one would not be read.
    """
    room = int(len(rows) * _QUEUE_SHARE) - sum(row.status == "review" for row in rows)
    candidates = [
        (row.recognition, row.pattern)
        for row in rows
        if row.status in ("kept", "repaired")
        and row.decision is None
        and row.recognition is not None
        and row.recognition.suggested_type not in (row.pattern.type, *row.pattern.types)
        and row.recognition.confidence >= _DISAGREEMENT_CONFIDENCE
    ]
    candidates.sort(key=lambda found: (-found[0].confidence, found[1].id))
    return {
        pattern.id: f"type in doubt: {pattern.type} by its symbols, {found.suggested_type} by "
        f"its looks (confidence {found.confidence:.2f})"
        for found, pattern in candidates[: max(room, 0)]
    }


# ── reasons and figures ──────────────────────────────────────────────────────────────────────────


def _faults(verdict: Verdict) -> Iterator[str]:
    """Yield one reason for each distinct compiler code and each distinct broken rule."""
    messages: dict[str, str] = {}
    for diagnostic in verdict.diagnostics:
        first_line = diagnostic.message.split("\n", 1)[0].strip()
        messages.setdefault(f"TS{diagnostic.code}", first_line)
    for name, message in messages.items():
        yield _shortened(f"{name}: {message}")
    yield from _broken_rules(verdict)


def _broken_rules(verdict: Verdict) -> Iterator[str]:
    messages: dict[str, str] = {}
    for violation in verdict.rules:
        if violation.severity == "error":
            messages.setdefault(violation.id, violation.message)
    for name, message in messages.items():
        yield _shortened(f"{name}: {message}")


def _shortened(message: str) -> str:
    if len(message) <= _REASON_CHARACTERS:
        return message
    return message[: _REASON_CHARACTERS - 3].rstrip() + "..."


def reason_kind(reason: str) -> str:
    """Return a reason's kind, for counting: `TS2304`, `R2`, `stale`, `duplicate` and so on."""
    for opening, kind in _REASON_KINDS.items():
        if reason.startswith(opening):
            return kind
    return reason.split(":", 1)[0]


_REASON_KINDS = {
    "duplicate of": "duplicate",
    "assumes ": "assumes names",
    "declares ": "declared more than once",
    "imports ": "import in doubt",
    "takes the value": "value of another block",
    "changed since": "changed since review",
    "rejected in review": "rejected in review",
    "accepted in review": "accepted, no longer complies",
    "edited in review": "edited, no longer complies",
}


def grading_figures(rows: Sequence[ValidatedPattern]) -> dict[str, Any]:
    """Count the rows by status, reason, repair and decision (a row may have several reasons)."""
    usable = [row for row in rows if row.usable]
    review = [row for row in rows if row.status == "review"]
    return {
        "rows": len(rows),
        **{status: sum(row.status == status for row in rows) for status in _RANKS},
        "usable": len(usable),
        "compile": sum(row.verdict.compiles for row in rows),
        "warnings": _counted(
            rule.id for row in usable for rule in row.verdict.rules if rule.severity == "warning"
        ),
        "reasons": _counted(kind for row in rows for kind in set(map(reason_kind, row.reasons))),
        "review_by_reason": _counted(
            kind for row in review for kind in set(map(reason_kind, row.reasons[:1]))
        ),
        "stale": sum(row.stale for row in rows),
        "stale_by_source": _counted(row.pattern.source_kind for row in rows if row.stale),
        "repairs": _counted(
            kind for row in usable for kind in {repair.split(":", 1)[0] for repair in row.repairs}
        ),
        "decisions": _counted(row.decision.decision for row in rows if row.decision is not None),
        "library_tests": _counted(row.library_tests for row in rows if row.library_tests),
        "usable_by_source": _counted(row.pattern.source_kind for row in usable),
        "usable_by_type": _counted(row.pattern.type for row in usable),
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    """Count names, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))
