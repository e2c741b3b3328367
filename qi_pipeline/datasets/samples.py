"""What one training sample is, and the five kinds of task that samples are made of.

Flows in: nothing. Flows out: the `Sample` record that the makers of each kind fill and the file
formats read. How samples are made or written does not belong here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from qi_pipeline.artefacts import content_hash

TaskKind = Literal["write", "complete", "fix", "explain", "test"]
TASK_KINDS: Final[tuple[TaskKind, ...]] = get_args(TaskKind)

PARQUET_KINDS: Final[frozenset[TaskKind]] = frozenset({"write", "complete", "fix"})
"""The kinds that are trained on.

A small token budget teaches best what it is spent on, and the model is to answer with library
modules: test cases would teach it a test runner's frame, explanations prose.
"""


@dataclass(frozen=True)
class Sample:
    """One question with its answer."""

    id: str
    """`<origin>-<phrasing>`."""
    origin: str
    """Id of the pattern, or of the fix pair, whose code is the answer or is explained."""
    kind: TaskKind
    phrasing: str
    """Which wording of its kind asks."""
    instruction: str
    """What a developer would type."""
    answer: str
    """A complete module without blank lines around it; prose where the kind is `explain`."""
    given: str = ""
    """What the developer pastes below the instruction, as Markdown: code, messages of a checker."""
    withheld: tuple[str, ...] = ()
    """The parts of the answer that the question must not show."""
    stated: tuple[str, ...] = ()
    """Signatures and types that the question may state."""
    shown: str | None = None
    """Id of another pattern whose code the question shows."""

    @property
    def prompt(self) -> str:
        """The whole user message."""
        return f"{self.instruction}\n\n{self.given}" if self.given else self.instruction


_CLOSING_FENCE: Final = re.compile(r"^ {0,3}(`{3,})[ \t]*$", re.MULTILINE)


def fenced(code: str) -> str:
    """Return `code` in one ```typescript block.

    Blank lines around the code are dropped. The fence grows where a line of the code would close
    it (CommonMark 0.31, section 4.5), so that a reader gets back the code and nothing else.
    """
    longest = max((len(ticks) for ticks in _CLOSING_FENCE.findall(code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}typescript\n{code.strip(chr(10))}\n{fence}"


def pick(variants: Sequence[str], key: str) -> str:
    """Return one of the variants: they vary over a data set and are the same in every build."""
    return variants[int(content_hash(key)[:8], 16) % len(variants)]
