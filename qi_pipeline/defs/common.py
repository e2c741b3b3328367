"""What every asset says the same way: owners and the figures of its outcome."""

import base64
from collections.abc import Mapping
from typing import Any, TypeVar

import dagster as dg
import pandas as pd
from pydantic import BaseModel

from qi_pipeline.handles import Outcome

OWNERS = ["team:qi-pipeline"]

Handle = TypeVar("Handle", bound=BaseModel)


def materialized(
    outcome: Outcome[Handle],
    data_version: str,
    directory: str,
    extra: Mapping[str, Any] | None = None,
) -> dg.MaterializeResult[Handle]:
    """Return the outcome as a materialization: value, content version, figures, whether reused."""
    metadata: dict[str, Any] = {
        "reused": outcome.reused,
        "seconds": round(outcome.seconds, 2),
        "path": dg.MetadataValue.path(directory),
        **(extra or {}),
    }
    for name, value in outcome.figures.items():
        metadata[name] = _shown(value)
    return dg.MaterializeResult(
        value=outcome.handle,
        data_version=dg.DataVersion(data_version),
        metadata=metadata,
    )


def _shown(value: Any) -> Any:
    """Tables for counts, JSON for other structures, plain values (which plot as trends) as such."""
    if isinstance(value, Mapping) and value and all(isinstance(v, int) for v in value.values()):
        frame = pd.DataFrame({"": list(value), "count": list(value.values())})
        return dg.MetadataValue.md(markdown_table(frame))
    if isinstance(value, (Mapping, list, tuple)):
        return dg.MetadataValue.json(value)
    return "none" if value is None else value


def markdown_picture(name: str, png: bytes) -> dg.MarkdownMetadataValue:
    """Return a picture that the asset's page shows."""
    data = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{data})")


def markdown_table(frame: pd.DataFrame) -> str:
    """Return a data frame as a Markdown table, cells escaped, one line per row."""
    rows = [[str(column) for column in frame.columns], ["---"] * len(frame.columns)]
    rows += [[str(cell) for cell in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
