"""Read JSON Lines that people and other programs write.

Flows in: a path and the record that every line should be. Flows out: the records with their places,
or an error that names file, line and field. What records mean belongs to those who ask.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from qi_pipeline.errors import QiPipelineError

_Record = TypeVar("_Record", bound=BaseModel)


def read_records(path: Path, kind: type[_Record], what: str) -> Iterator[tuple[str, _Record]]:
    """Yield (`file:line`, record) for every line that is not blank.

    Raises QiPipelineError when the file cannot be read or a line is no such record; `what` is the
    file in the message, such as "the task suite".
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise QiPipelineError(f"cannot read {what} {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}:{number}"
            yield where, _parse(line, kind, where)


def _parse(line: str, kind: type[_Record], where: str) -> _Record:
    try:
        return kind.model_validate(json.loads(line))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or kind.__name__.lower()}: {item['msg']}"
            for item in error.errors()
        )
        raise QiPipelineError(f"{where} {problems}") from error
    except (ValueError, RecursionError) as error:
        # Beside syntax errors: a number of thousands of digits, brackets nested without end.
        raise QiPipelineError(f"{where} is not JSON: {error}") from error
