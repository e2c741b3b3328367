"""Violation → fix pairs of the library's own history.

Flows in: commits whose parent broke a convention rule in a declaration that the commit mended.
Flows out: `FixPair`s. What is asked for with a pair belongs to `fixes`.
"""

from pydantic import BaseModel, ConfigDict


class FixPair(BaseModel):
    """One declaration before and after the commit that made it keep the rules."""

    model_config = ConfigDict(frozen=True)

    id: str
    before: str
    """Complete module around the declaration as the parent commit had it."""
    after: str
    """The same around the mended declaration; it compiles and keeps the rules."""
    rules: tuple[str, ...]
    """Ids of the rules that `before` breaks, sorted."""
    messages: tuple[str, ...]
    """What the checker says of `before`, in the order of its lines."""
    commit: str
    """The mending commit; pairs of one commit never lie on both sides of a split."""
    parent: str
    source_file: str
    container: str
    """Name of the declaration."""
