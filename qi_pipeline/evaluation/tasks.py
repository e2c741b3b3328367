"""The task suite: what a model is asked to write and what counts as having written it.

Flows in: a JSON Lines file with one task per line. Flows out: frozen `Task` records and their hash.
Asking a model and scoring its answers do not belong here.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from qi_pipeline.artefacts import content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.lines import read_records
from qi_pipeline.extraction.pattern import Category, PatternType

Forbidden = Literal[
    "no_throw",
    "no_try_catch",
    "no_tag_access",
    "no_result_property_access",
    "no_null_return",
    "no_any",
]
_Text = Annotated[str, Field(min_length=1)]


class RequiredApi(BaseModel):
    """Library symbols, by exported name, that a compliant answer uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    all: tuple[str, ...] = ()
    """Every one of these."""
    any: tuple[str, ...] = ()
    """At least one of these; empty means no such demand."""


class Task(BaseModel):
    """One thing a developer would ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: _Text
    category: Category
    pattern_type: PatternType | None = None
    """None for general TypeScript, which no convention of the library is asked of."""
    prompt: _Text
    entry_point: Annotated[str, Field(pattern=r"^[A-Za-z_$][\w$]*$")]
    """Name of the value that the answer must export."""
    test: str
    """TypeScript test module that imports `./solution`."""
    required_api: RequiredApi
    forbidden: tuple[Forbidden, ...]
    reference: _Text
    """A module that compiles and complies."""


def bundled_suite() -> Path:
    """Return the path of the task suite that comes with this package."""
    return Path(__file__).with_name("tasks") / "qicore.jsonl"


def general_suite() -> Path:
    """Return the path of the tasks in general TypeScript, which show what a model forgot."""
    return Path(__file__).with_name("tasks") / "general.jsonl"


GENERAL_SYSTEM_PROMPT = (
    "You write TypeScript. Answer with one complete module in a single ```typescript block: types "
    "and exported code. Export what you are asked for, and use no packages."
)
"""For the tasks in general TypeScript: beside a library's own prompt models reach for the library.

With that of QiCore Qwen2.5-Coder-0.5B compiled none of the 20; a floor shows no forgetting."""


def load_tasks(path: Path) -> tuple[Task, ...]:
    """Return the tasks of a JSON Lines file, in the file's order.

    Raises QiPipelineError, naming file, line and field, when the file is missing or empty, a line
    is not a task, or an id occurs twice.
    """
    tasks: list[Task] = []
    first_line: dict[str, str] = {}
    for where, task in read_records(path, Task, "the task suite"):
        if task.id in first_line:
            raise QiPipelineError(
                f"{where} id: {task.id!r} is already the task of {first_line[task.id]}; every task "
                "needs an id of its own"
            )
        first_line[task.id] = where
        tasks.append(task)
    if not tasks:
        raise QiPipelineError(f"{path} holds no task; expected one JSON object per line")
    return tuple(tasks)


def tasks_hash(tasks: Iterable[Task]) -> str:
    """Return the SHA-256 (64 hex digits) of the suite; the order of the tasks does not matter."""
    rows = [task.model_dump(mode="json") for task in tasks]
    return content_hash(sorted(rows, key=lambda row: str(row["id"])))
