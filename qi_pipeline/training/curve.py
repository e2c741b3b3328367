"""The loss curve as a picture.

Flows in: the rows of training_log.jsonl. Flows out: a PNG for the Dagster UI and the model card.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_loss_curve(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw training and validation loss over the tokens seen; return `path`."""
    # Not pyplot: it keeps figures alive and looks for a display.
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    tokens_at = {0: 0} | {row["step"]: row["tokens"] for row in rows if "tokens" in row}
    trained = [row for row in rows if "loss" in row]
    validated = [row for row in rows if "validation_loss" in row]
    axes.plot(
        [row["tokens"] for row in trained],
        [row["loss"] for row in trained],
        color="#7a8fa6",
        linewidth=1,
        label="training",
    )
    axes.plot(
        [tokens_at[row["step"]] for row in validated],
        [row["validation_loss"] for row in validated],
        color="#c2410c",
        marker="o",
        label="validation",
    )
    axes.set_xlabel("tokens trained on")
    axes.set_ylabel("loss per completion token (nats)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png", metadata={"Software": None})
    return path
