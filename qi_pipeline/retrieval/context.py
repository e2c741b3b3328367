"""Patterns found for a question, as text that a model is shown before it.

Flows in: a question, the index. Flows out: a `Context`: which patterns, and the words around them.
Finding belongs to `index`; who asks what, to those who generate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qi_pipeline.retrieval.index import Hit, PatternIndex

MOST_PATTERNS = 3
MOST_CHARACTERS = 3600
"""Of all code shown; some 1,100 tokens, so that prompt and answer fit beside it in 4,096."""
_CANDIDATES = 12
_LEAD = "Examples of how this code base uses the library:"


@dataclass(frozen=True)
class Context:
    """What is shown with one question."""

    pattern_ids: tuple[str, ...]
    text: str
    """Markdown; empty when nothing was found that fits."""


def context_for(question: str, index: PatternIndex) -> Context:
    """Return the nearest patterns that fit, nearest first; whole ones only.

    A pattern too long for what is left of the space gives way to the next nearest.
    """
    return _render(_fitting(index.search(question, _CANDIDATES)))


def _fitting(hits: Sequence[Hit]) -> list[Hit]:
    chosen: list[Hit] = []
    left = MOST_CHARACTERS
    seen: set[str] = set()
    for hit in hits:
        if len(chosen) < MOST_PATTERNS and len(hit.code) <= left and hit.code not in seen:
            chosen.append(hit)
            seen.add(hit.code)
            left -= len(hit.code)
    return chosen


def _render(hits: Sequence[Hit]) -> Context:
    if not hits:
        return Context((), "")
    blocks = [f"{hit.instruction}\n\n```typescript\n{hit.code.strip()}\n```" for hit in hits]
    return Context(tuple(hit.id for hit in hits), "\n\n".join([_LEAD, *blocks]))
