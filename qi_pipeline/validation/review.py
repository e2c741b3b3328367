"""What people decided about the patterns in review, as an append-only file.

Flows in: decisions. Flows out: the decisions that stand. The file is JSON Lines, one decision a
line, oldest first; nothing in it is ever changed, and of several decisions on one pattern the last
stands. What a decision does to a row belongs to `patterns`; making one belongs to `queue`.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from qi_pipeline.artefacts import content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import PatternType

DecisionKind = Literal["accept", "reject", "edit", "undo"]


class ReviewDecision(BaseModel):
    """One person's decision about one pattern."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern_id: str
    content_hash: str
    """Hash of the implementation decided on; the decision holds while the unit still has it."""
    decision: DecisionKind
    type: PatternType | None = None
    """The type given on accepting or editing; None leaves the row's own."""
    edited_text: str | None = None
    """The text that replaces the implementation; set when and only when it was edited."""
    note: str = ""
    decided_at: str
    """ISO 8601, UTC."""
    by: str

    @model_validator(mode="after")
    def _has_text_when_edited(self) -> "ReviewDecision":
        if (self.decision == "edit") != (self.edited_text is not None):
            raise ValueError("an edit has edited_text, and nothing else has")
        return self


def implementation_hash(implementation: str) -> str:
    """Return the hash by which a decision knows the text it was made on."""
    return content_hash(implementation)


def append_decision(path: Path, decision: ReviewDecision) -> None:
    """Add `decision` to the file `path`, which is made when missing.

    Writers take turns, and the line is written as a whole or not at all. Raises QiPipelineError
    when the file holds a line that is no decision: appending to it would hide the damage.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as descriptor:
        _parse(path, _content(descriptor))
        line = decision.model_dump_json() + "\n"
        before = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            _write_whole(descriptor, line.encode())
        except OSError:
            os.ftruncate(descriptor, before)
            raise


def _write_whole(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0)


def read_decisions(path: Path) -> tuple[ReviewDecision, ...]:
    """Return every decision of the file, oldest first; a missing file holds none.

    Raises QiPipelineError naming the file and the line that is no decision.
    """
    return _parse(path, path.read_bytes()) if path.is_file() else ()


def _parse(path: Path, content: bytes) -> tuple[ReviewDecision, ...]:
    decisions = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            decisions.append(ReviewDecision.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            problem = f"{place}: {first['msg']}" if place else first["msg"]
            raise QiPipelineError(
                f"{path}:{number} is not a review decision ({problem}); mend or delete that line"
            ) from error
    if content and not content.endswith(b"\n"):
        last = content.count(b"\n") + 1
        raise QiPipelineError(
            f"{path}:{last} does not end with a line break, so a decision may "
            "be cut off; mend or delete that line"
        )
    return tuple(decisions)


def standing_decisions(decisions: Iterable[ReviewDecision]) -> dict[str, ReviewDecision]:
    """Return pattern id to the decision that stands: the last one, unless it was undone."""
    last = {decision.pattern_id: decision for decision in decisions}
    return {key: decision for key, decision in last.items() if decision.decision != "undo"}


def decided_texts(decisions: Iterable[ReviewDecision]) -> dict[str, ReviewDecision]:
    """Return hash of a text to the rejection or edit that holds for its exact copies, too.

    Of several the latest counts.
    """
    found = [one for one in decisions if one.decision in ("reject", "edit")]
    return {one.content_hash: one for one in sorted(found, key=when_decided)}


def when_decided(decision: ReviewDecision) -> tuple[str, bool, str]:
    """Return what orders decisions on different patterns; of the same moment a rejection is last.

    The place in the file is not part of it: files of several people may be put together.
    """
    return decision.decided_at, decision.decision == "reject", decision.pattern_id


def decisions_hash(decisions: Iterable[ReviewDecision]) -> str:
    """Return the hash of the decisions that stand, whatever came before them."""
    standing = standing_decisions(decisions)
    return content_hash([standing[key].model_dump(mode="json") for key in sorted(standing)])
