"""Which exported symbols took another name between two states.

Flows in: two parsed states. Flows out: `Rename`s. A symbol that left and one that came in the same
commit are one symbol when their declarations, each one's own name left out, are near-duplicates
(Jaccard >= 0.7 on 5-token shingles, the threshold of `recognition.duplicates`).
"""

import re
from collections.abc import Hashable

from pydantic import BaseModel, ConfigDict

from qi_pipeline.evolution.records import Rename
from qi_pipeline.evolution.survey import Tree
from qi_pipeline.extraction.exports import Declaration, declared_names
from qi_pipeline.extraction.syntax import text_of
from qi_pipeline.recognition.duplicates import NEAR_DUPLICATE_THRESHOLD, jaccard, shingles

_Shingles = frozenset[Hashable]


class Renames(BaseModel):
    """The renames of one commit, as the cache holds them."""

    model_config = ConfigDict(frozen=True)

    found: tuple[Rename, ...] = ()


def find_renames(before: Tree, after: Tree) -> Renames:
    """Return the symbols that have another name in `after`, sorted by their former name.

    Siblings written to one pattern (`networkError`, `timeoutError`) resemble each other as much as
    a renamed symbol resembles itself. So a newcomer continues a symbol that left only if no symbol
    of `before` that stayed resembles it as much.
    """
    old, new = _declarations(before), _declarations(after)
    gone = {name: kind for name, kind in old.items() if name not in new}
    came = {name: kind for name, kind in new.items() if name not in old}
    if not gone or not came:
        return Renames()
    stayed = [_shingles(before, name, found) for name, found in old.items() if name in new]
    left = {name: _shingles(before, name, found) for name, found in gone.items()}
    arrived = {name: _shingles(after, name, found) for name, found in came.items()}
    candidates = sorted(
        (
            Rename(before=former, after=name, similarity=round(jaccard(one, other), 4))
            for former, one in left.items()
            for name, other in arrived.items()
            if gone[former].kind == came[name].kind
        ),
        key=lambda item: (-item.similarity, item.before, item.after),
    )
    taken: set[str] = set()
    found = []
    for candidate in candidates:
        nearest = max((jaccard(one, arrived[candidate.after]) for one in stayed), default=0.0)
        if candidate.similarity < NEAR_DUPLICATE_THRESHOLD or nearest >= candidate.similarity:
            continue
        if not taken & {candidate.before, candidate.after}:
            taken |= {candidate.before, candidate.after}
            found.append(candidate)
    return Renames(found=tuple(sorted(found, key=lambda item: item.before)))


def _declarations(tree: Tree) -> dict[str, Declaration]:
    if tree.library is None:
        return {}
    return {
        symbol.qualified: symbol.declaration
        for symbols in tree.library.symbols.values()
        for symbol in symbols.values()
    }


def _shingles(tree: Tree, qualified: str, declaration: Declaration) -> _Shingles:
    """Return the shingles of a declaration with its names replaced by one placeholder."""
    names = {declaration.name, qualified.rpartition(":")[2]}
    expression = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\b")
    text = next(
        (
            text_of(node)
            for statement in tree.code[declaration.file].root.named_children
            for name, _, node in declared_names(statement)
            if name == declaration.name
        ),
        "",
    )
    return shingles(expression.sub("_", text))
