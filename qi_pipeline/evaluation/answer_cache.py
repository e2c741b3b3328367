"""Answers on disk: what was generated once is never generated again.

Flows in: answers, as they come. Flows out: the same answers by the hash of everything that
decided them. A file belongs to one model, engine and way of decoding; it only grows, one process
writes it at a time, and a line that a killed process cut off is dropped. How answers come about
does not belong here.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from qi_pipeline.artefacts import content_hash, disk_space_errors_named
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.records import Answer, GenerationOptions, Message, Request

_VERSION = 2
"""Goes up whenever the same model and options may give another answer."""
_SEED_BITS = 31
"""Servers read a seed as a signed 32-bit number; llama.cpp takes all ones for "any seed"."""


class Question(BaseModel):
    """A conversation that lacks an answer, as every way of generating is given it."""

    model_config = ConfigDict(frozen=True)

    key: str
    """Hash of everything that decides the answer."""
    task_id: str
    """Of the first task that asks; an error names it."""
    sample: int
    messages: tuple[Message, ...]
    seed: int
    """Of this answer's draws; it follows from the conversation, not from the order of questions."""


class _Row(BaseModel):
    """One line of the file."""

    model_config = ConfigDict(frozen=True)

    key: str
    answer: Answer


@dataclass(frozen=True)
class Origin:
    """Where answers come from: what all answers of one file have in common."""

    model_digest: str
    engine: str
    options: GenerationOptions

    def _identity(self) -> dict[str, object]:
        return {
            "version": _VERSION,
            "model": self.model_digest,
            "engine": self.engine,
            "decoding": self.options.decoding(),
        }

    def file(self, cache_dir: Path) -> Path:
        """Return the file that keeps these answers."""
        name = f"{content_hash(self._identity())}.jsonl"
        return cache_dir.resolve() / "answers" / name

    def question(self, request: Request) -> Question:
        """Return what is asked; two tasks with the same conversation ask the same."""
        asked = {
            "messages": [message.model_dump() for message in request.messages],
            "sample": request.sample,
        }
        seed = content_hash({**asked, "seed": self.options.seed})
        return Question(
            key=content_hash({**asked, **self._identity()}),
            task_id=request.task_id,
            sample=request.sample,
            messages=request.messages,
            seed=int(seed, 16) & ((1 << _SEED_BITS) - 1),
        )


def read_answers(path: Path, start: int = 0) -> tuple[dict[str, Answer], int]:
    """Return the answers from byte `start` on, by key, and the byte after the last whole line.

    A last line that is cut off is left out: a process may be writing it.
    Raises QiPipelineError naming file and byte when a whole line is no answer.
    """
    if not path.is_file():
        return {}, 0
    with path.open("rb") as stream:
        stream.seek(start)
        text = stream.read()
    answers: dict[str, Answer] = {}
    position = start
    for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
        try:
            row = _Row.model_validate_json(line)
        except ValidationError as error:
            raise QiPipelineError(
                f"{path}: the line at byte {position} is not an answer "
                f"({error.errors()[0]['msg']}); delete the file, its answers are made again"
            ) from error
        answers[row.key] = row.answer
        position += len(line)
    return answers, position


@contextmanager
def answers_to_append(path: Path) -> Iterator[IO[bytes]]:
    """Open the file for appending, alone, without a line that was cut off.

    Raises QiPipelineError when another process is writing it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise QiPipelineError(
                f"another process is writing {path}; wait for it to end and run again"
            ) from error
        stream.truncate(path.read_bytes().rfind(b"\n") + 1)
        yield stream


def append_answers(stream: IO[bytes], answers: Mapping[str, Answer]) -> None:
    """Write answers, by key, in one go, and return when they are on the disk."""
    rows = [
        _Row(key=key, answer=answer).model_dump_json() + "\n" for key, answer in answers.items()
    ]
    with disk_space_errors_named(Path(stream.name)):
        stream.write("".join(rows).encode())
        stream.flush()
        os.fsync(stream.fileno())


def progress(tokens: int, finished: int, total: int, wall_seconds: float) -> str:
    """Return the line that is shown when `tokens` were written since the last one."""
    return f"{finished}/{total} answers, {tokens / wall_seconds:.0f} tokens/s"
