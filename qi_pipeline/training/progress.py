"""Where a training process says how far it is: Dagster Pipes, or plain lines.

Flows in: messages and, once, the result. Flows out: log lines in the Dagster UI when Dagster
launched the process, lines on standard output when a terminal did. This is the only module of the
package that speaks Pipes.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol


class Progress(Protocol):
    """A reader of the training's progress."""

    def say(self, message: str) -> None:
        """Show one line."""

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Show the result: plain values by name."""


class Terminal:
    """Lines on standard output."""

    def say(self, message: str) -> None:
        """Print one line at once, even into a pipe."""
        print(message, flush=True)  # noqa: T201 - this process's output is its progress

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Print the result, one value a line."""
        for name, value in metadata.items():
            self.say(f"  {name}: {value}")


class Pipes:
    """Log lines and asset metadata of a Dagster run."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def say(self, message: str) -> None:
        """Send one log line."""
        self._context.log.info(message)

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Report the materialization with its metadata, once."""
        self._context.report_asset_materialization(
            metadata={
                # A bare dictionary would be taken for a typed value and refused.
                name: {"raw_value": value, "type": "json"}
                if isinstance(value, dict | list)
                else value
                for name, value in metadata.items()
            }
        )


@contextmanager
def open_progress() -> Iterator[Progress]:
    """Open Dagster Pipes when Dagster launched this process, else standard output."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        yield Terminal()
        return
    from dagster_pipes import open_dagster_pipes  # noqa: PLC0415 - only in a process of Dagster's

    with open_dagster_pipes() as context:
        yield Pipes(context)
