"""`qi review`: what waits for a person, and what that person decides.

Every decision is appended to the review file and followed at the next validation; the texts are
checked with the checker that grades the training data. The rules of deciding belong to
`validation.queue`, the file to `validation.review`.
"""

import getpass
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import PATTERN_TYPES, PatternType
from qi_pipeline.settings import Settings
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.stages import Pipeline
from qi_pipeline.validation.queue import (
    accept,
    difference,
    edit,
    find_row,
    reject,
    undo,
    verdict_lines,
)
from qi_pipeline.validation.review import (
    ReviewDecision,
    append_decision,
    read_decisions,
    standing_decisions,
)
from qi_pipeline.validation.verdict import Status, ValidatedPattern

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Decide about the patterns that the pipeline leaves to a person.",
)

Source = Annotated[
    str | None,
    typer.Option("--source", help="Path or git URL; `sample` is the bundled library."),
]
Revision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit.")]
PatternId = Annotated[str, typer.Argument(help="Id of a pattern, or how it begins.")]
TypeName = Annotated[
    str | None, typer.Option("--type", help="The pattern's type, when not the suggested one.")
]
Note = Annotated[str, typer.Option("--note", help="Why; kept with the decision.")]

_EDITOR = "vi"


class _Desk:
    """One snapshot's graded rows and the file of decisions about them."""

    def __init__(self, source: str | None, revision: str | None) -> None:
        chosen = {"source": source, "revision": revision}
        settings = Settings().model_copy(
            update={name: value for name, value in chosen.items() if value is not None}
        )
        self.pipeline = Pipeline(settings, lambda line: print(f"  {line}", file=sys.stderr))
        self.file = settings.review_file

    def snapshot(self) -> Snapshot:
        return self.pipeline.repo_snapshot().handle

    def rows(self) -> list[ValidatedPattern]:
        taken = self.snapshot()
        patterns = self.pipeline.patterns(taken).handle
        return self.pipeline.validated_patterns(taken, patterns).handle.read()

    def record(self, decision: ReviewDecision) -> None:
        append_decision(self.file, decision)
        print(f"{decision.pattern_id}: {decision.decision} recorded in {self.file}")


@app.command("list")
def list_rows(
    source: Source = None,
    revision: Revision = None,
    status: Annotated[
        str, typer.Option("--status", help="review, kept, repaired, rejected or all.")
    ] = "review",
    pattern_type: TypeName = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
) -> None:
    """Show the rows that wait for a decision, or those of any status."""
    if status not in (*get_args(Status), "all"):
        raise QiPipelineError(
            f"unknown status {status!r}; known: {', '.join((*get_args(Status), 'all'))}"
        )
    wanted = _known_type(pattern_type)
    rows = [
        row
        for row in _Desk(source, revision).rows()
        if status in (row.status, "all") and wanted in (None, row.pattern.type)
    ]
    if as_json:
        print(json.dumps([_summary(row) for row in rows], indent=2, ensure_ascii=False))
        return
    for row in rows:
        place = f"{row.pattern.metadata.source_file}:{row.pattern.metadata.line_range[0]}"
        print(f"{row.pattern.id}  {row.status}  {_shown_type(row)}  {place}")
        for reason in row.reasons:
            print(f"    {reason}")
    print(f"{len(rows)} rows", file=sys.stderr)


def _known_type(name: str | None) -> PatternType | None:
    if name is not None and name not in PATTERN_TYPES:
        raise QiPipelineError(f"unknown type {name!r}; known: {', '.join(PATTERN_TYPES)}")
    return name


def _shown_type(row: ValidatedPattern) -> str:
    found = row.recognition
    if found is None:
        return row.pattern.type
    return f"{row.pattern.type} (suggested: {found.suggested_type}, {found.confidence:.2f})"


def _summary(row: ValidatedPattern) -> dict[str, Any]:
    return {
        "id": row.pattern.id,
        "status": row.status,
        "type": row.pattern.type,
        "recognition": row.recognition.model_dump() if row.recognition else None,
        "reasons": list(row.reasons),
        "stale": row.stale,
        "complies": row.verdict.complies,
        "repairs": list(row.repairs),
        "source_kind": row.pattern.source_kind,
        "source_file": row.pattern.metadata.source_file,
        "line_range": list(row.pattern.metadata.line_range),
        "container": row.pattern.container,
        "instruction": row.pattern.instruction,
    }


@app.command()
def show(pattern_id: PatternId, source: Source = None, revision: Revision = None) -> None:
    """Show one row: its code, what was found, where it comes from and what was changed."""
    row = find_row(_Desk(source, revision).rows(), pattern_id)
    pattern, lines = row.pattern, row.pattern.metadata.line_range
    print(f"id           {pattern.id}")
    print(f"status       {row.status}{' (stale)' if row.stale else ''}")
    print(f"type         {_shown_type(row)}")
    if row.recognition is not None:
        print(f"novelty      {row.recognition.novelty:.2f}")
        print(f"nearest      {', '.join(row.recognition.nearest)}")
    print(f"instruction  {pattern.instruction}")
    print(f"source       {pattern.metadata.source_file}:{lines[0]}-{lines[1]}")
    print(f"container    {pattern.container}")
    print(f"commit       {pattern.commit[:12]}, blob {pattern.blob[:12]}, {pattern.source_kind}")
    if row.decision is not None:
        made = row.decision
        on = f" on its exact copy {made.pattern_id}" if made.pattern_id != pattern.id else ""
        by = f"by {made.by}, {made.decided_at} {made.note}".rstrip()
        print(f"decision     {made.decision}{on} {by}")
    for heading, found in (
        ("why", row.reasons),
        ("changed", row.repairs),
        ("verdict", verdict_lines(row.verdict) or ["complies"]),
    ):
        if found:
            print(f"\n{heading}:")
            print("\n".join(f"  {line}" for line in found))
    changed = difference(row)
    if changed:
        print(f"\n{changed.rstrip()}")
    print(f"\n{pattern.implementation.rstrip()}")


@app.command("accept")
def accept_row(
    pattern_id: PatternId,
    pattern_type: TypeName = None,
    note: Note = "",
    source: Source = None,
    revision: Revision = None,
) -> None:
    """Let a row through as it stands; refused when it does not compile and comply."""
    desk = _Desk(source, revision)
    row = find_row(desk.rows(), pattern_id)
    desk.record(accept(row, pattern_type=_known_type(pattern_type), note=note, by=_person()))


@app.command("reject")
def reject_row(
    pattern_id: PatternId,
    note: Annotated[str, typer.Option("--note", help="Why; kept with the decision.")],
    source: Source = None,
    revision: Revision = None,
) -> None:
    """Keep a row out, and say why."""
    desk = _Desk(source, revision)
    desk.record(reject(find_row(desk.rows(), pattern_id), note=note, by=_person()))


@app.command("edit")
def edit_row(
    pattern_id: PatternId,
    file: Annotated[
        Path | None, typer.Option("--file", help="The corrected module; default: open $EDITOR.")
    ] = None,
    pattern_type: TypeName = None,
    note: Note = "",
    source: Source = None,
    revision: Revision = None,
) -> None:
    """Put a corrected text in a row's place; refused when it does not compile and comply."""
    desk = _Desk(source, revision)
    row = find_row(desk.rows(), pattern_id)
    text = _read(file) if file is not None else _edited(row.pattern.implementation)
    with desk.pipeline.checker(desk.snapshot()) as checker:
        decision = edit(
            row,
            text,
            checker.check_module,
            pattern_type=_known_type(pattern_type),
            note=note,
            by=_person(),
        )
    desk.record(decision)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise QiPipelineError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise QiPipelineError(f"{file} is not UTF-8 text: {error}") from error


def _edited(text: str) -> str:
    """Return `text` as the person's editor leaves it; the file is kept when that fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _EDITOR
    descriptor, name = tempfile.mkstemp(prefix="qi-review-", suffix=".ts")
    os.close(descriptor)
    file = Path(name)
    file.write_text(text, encoding="utf-8")
    try:
        done = subprocess.run([*shlex.split(editor), str(file)], check=False)
    except OSError as error:
        raise QiPipelineError(
            f"cannot start the editor {editor!r}: {error.strerror}; set EDITOR, or give --file"
        ) from error
    if done.returncode != 0:
        raise QiPipelineError(f"{editor} ended with status {done.returncode}; nothing was decided")
    edited = _read(file)
    if edited == text:
        raise QiPipelineError("the text was not changed; `qi review accept` takes it as it is")
    print(f"the edited text is also in {file}", file=sys.stderr)
    return edited


@app.command("undo")
def undo_row(
    pattern_id: PatternId, note: Note = "", source: Source = None, revision: Revision = None
) -> None:
    """Take back the decision that stands on a pattern."""
    desk = _Desk(source, revision)
    standing = standing_decisions(read_decisions(desk.file))
    known = [key for key in standing if key.startswith(pattern_id)]
    wanted = known[0] if len(known) == 1 else pattern_id
    desk.record(undo(wanted, standing, note=note, by=_person()))


def _person() -> str:
    return getpass.getuser()
