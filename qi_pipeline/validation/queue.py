"""The review queue: which rows wait for a person, and what that person may decide.

Flows in: graded rows and a person's choice. Flows out: the `ReviewDecision` to record, or the
reason why it cannot be made. Nothing that does not compile and comply is ever let through. Storing
decisions belongs to `review`, following them to `patterns`.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import PatternType
from qi_pipeline.validation.review import ReviewDecision, implementation_hash
from qi_pipeline.validation.verdict import ValidatedPattern, Verdict

_FEWEST_CHARACTERS = 4
"""Of an id that is not written out."""


def find_row(rows: Iterable[ValidatedPattern], pattern_id: str) -> ValidatedPattern:
    """Return the row of that id, or of the only id that starts so.

    Raises QiPipelineError when there is none or more than one.
    """
    found = [row for row in rows if row.pattern.id == pattern_id]
    if not found and len(pattern_id) >= _FEWEST_CHARACTERS:
        found = [row for row in rows if row.pattern.id.startswith(pattern_id)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(row.pattern.id for row in found)
        raise QiPipelineError(f"the id {pattern_id!r} may mean {ids}; write it out")
    raise QiPipelineError(
        f"no pattern has the id {pattern_id!r} in this revision; `qi review list` shows those that "
        "wait for review"
    )


def accept(
    row: ValidatedPattern, *, pattern_type: PatternType | None, note: str, by: str
) -> ReviewDecision:
    """Return the decision that lets a row through as it stands.

    Raises QiPipelineError when the row is not in review or does not comply.
    """
    _require_open(row)
    # An edited row stands as edited; accepting it would bring back the text before the edit.
    if row.decision is not None and row.decision.decision == "edit":
        raise QiPipelineError(
            f"{row.decision.pattern_id} was edited in review; undo that before accepting the text "
            "as it was"
        )
    if not row.verdict.complies:
        raise QiPipelineError(
            f"{row.pattern.id} cannot be accepted, for only samples that comply are learned from: "
            f"{_shown(row.verdict)}; `qi review edit` takes a corrected text"
        )
    return _decision(row, "accept", by=by, note=note, pattern_type=pattern_type)


def reject(row: ValidatedPattern, *, note: str, by: str) -> ReviewDecision:
    """Return the decision that keeps a row out.

    Raises QiPipelineError when the row is not in review or no reason is given.
    """
    _require_open(row)
    if not note.strip():
        raise QiPipelineError(f"say why {row.pattern.id} is rejected (--note)")
    return _decision(row, "reject", by=by, note=note)


def edit(
    row: ValidatedPattern,
    text: str,
    check: Callable[[str], Verdict],
    *,
    pattern_type: PatternType | None,
    note: str,
    by: str,
) -> ReviewDecision:
    """Return the decision that puts `text` in the row's place.

    `check` is the checker that grades every row. Raises QiPipelineError when the row is not in
    review, or with the diagnostics when the text does not comply.
    """
    _require_open(row)
    verdict = check(text)
    if not verdict.complies:
        raise QiPipelineError(
            f"the edited text of {row.pattern.id} does not comply and was not stored: "
            f"{_shown(verdict)}"
        )
    return _decision(row, "edit", by=by, note=note, pattern_type=pattern_type, text=text)


def undo(
    pattern_id: str, standing: Mapping[str, ReviewDecision], *, note: str, by: str
) -> ReviewDecision:
    """Return the decision that takes back the one that stands.

    Raises QiPipelineError when none stands.
    """
    found = standing.get(pattern_id)
    if found is None:
        raise QiPipelineError(f"no decision on {pattern_id!r} stands, so there is none to undo")
    return ReviewDecision(
        pattern_id=pattern_id,
        content_hash=found.content_hash,
        decision="undo",
        note=note,
        decided_at=_now(),
        by=by,
    )


def _require_open(row: ValidatedPattern) -> None:
    if row.status != "review" and row.decision is None:
        raise QiPipelineError(
            f"{row.pattern.id} is {row.status}, not in review; `qi review list` shows what is"
        )


def _decision(
    row: ValidatedPattern,
    decision: str,
    *,
    by: str,
    note: str,
    pattern_type: PatternType | None = None,
    text: str | None = None,
) -> ReviewDecision:
    known = row.decision.content_hash if row.decision is not None else None
    return ReviewDecision.model_validate(
        {
            "pattern_id": row.pattern.id,
            "content_hash": known or implementation_hash(row.pattern.implementation),
            "decision": decision,
            # Written down even when it is the suggested one: suggestions change.
            "type": None if decision == "reject" else pattern_type or row.pattern.type,
            "edited_text": text,
            "note": note,
            "decided_at": _now(),
            "by": by,
        }
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def verdict_lines(verdict: Verdict) -> list[str]:
    """Return one line for each diagnostic and each broken rule."""
    return [
        *(f"{one.line}:{one.column} TS{one.code} {one.message}" for one in verdict.diagnostics),
        *(f"{one.line} {one.id} ({one.severity}) {one.message}" for one in verdict.rules),
    ]


def _shown(verdict: Verdict) -> str:
    return "; ".join(line.split("\n", 1)[0] for line in verdict_lines(verdict))


def difference(row: ValidatedPattern) -> str:
    """Return what was changed in the extracted text, as a unified diff; empty when nothing was."""
    if row.original is None:
        return ""
    return "".join(
        difflib.unified_diff(
            _lines(row.original),
            _lines(row.pattern.implementation),
            "extracted",
            "edited" if row.decision and row.decision.decision == "edit" else "repaired",
        )
    )


def _lines(text: str) -> Sequence[str]:
    return [f"{line}\n" for line in text.splitlines()]
