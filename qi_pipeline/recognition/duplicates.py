"""Cluster near-duplicate TypeScript texts, exactly and in any order.

Flows in: id -> source text. Flows out: id -> the smallest id of its cluster. What is done about a
duplicate (reject it, keep a group on one side of a split) is decided elsewhere.

Two texts are near-duplicates when the Jaccard index of their sets of 5-token shingles (Broder
1997, "On the resemblance and containment of documents") reaches the threshold; clusters are the
connected components of that relation. Every pair is compared, as a product of sparse matrices:
sketches (MinHash) would be faster on millions of texts, but they miss pairs, join others, and move
with their seed.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

SHINGLE_TOKENS: Final = 5
NEAR_DUPLICATE_THRESHOLD: Final = 0.7

_BLOCK: Final = 1000
"""Texts compared with all others at a time; bounds the memory, not the result."""
_IMPORT_PUNCTUATION: Final = frozenset("{},*")
_TOKEN = re.compile(
    r"""
    (?P<skip> \s+ | //[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<string> "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*` )
  | (?P<number> (?:0[xXbBoO][\da-fA-F_]+ | \d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)n? )
  | (?P<word> [^\W\d][\w$]* | \$[\w$]* )
  | (?P<punctuation> =>|\?\?=?|\?\.|\.\.\.|[=!]==?|&&|\|\||\S )
    """,
    re.VERBOSE | re.DOTALL,
)


def tokenize(text: str) -> list[str]:
    """Return the TypeScript tokens of `text` without white space and comments.

    A string or a template is one token. Lexing by pattern instead of parsing keeps this total:
    any text has tokens, broken code included.
    """
    return [m.group() for m in _TOKEN.finditer(text) if m.lastgroup != "skip"]


def without_imports(tokens: list[str]) -> list[str]:
    """Return `tokens` without import statements.

    Imports follow from what the code uses, and they are the same in most modules of a library, so
    counting them would make short unrelated modules look alike. An import statement runs from the
    token `import` (not `import(` and not `import.meta`) to its module string and a semicolon.
    """
    kept: list[str] = []
    position = 0
    while position < len(tokens):
        end = _import_end(tokens, position)
        if end is None:
            kept.append(tokens[position])
            position += 1
        else:
            position = end
    return kept


def _import_end(tokens: list[str], start: int) -> int | None:
    """Return the position after the import statement at `start`, or None when there is none."""
    if tokens[start] != "import" or (start and tokens[start - 1] == "."):
        return None
    for position in range(start + 1, len(tokens)):
        token = tokens[position]
        if token[0] in "\"'":
            following = tokens[position + 1 : position + 2]
            return position + 2 if following == [";"] else position + 1
        if not (token in _IMPORT_PUNCTUATION or token[0].isalpha() or token[0] in "_$"):
            return None
    return None


def shingles(text: str) -> frozenset[Hashable]:
    """Return the set of 5-token shingles of `text`.

    A text with fewer than five tokens has one shingle, its whole token sequence, imports
    included: such texts are near-duplicates only when they are equal.
    """
    tokens = tokenize(text)
    code = without_imports(tokens)
    if len(code) < SHINGLE_TOKENS:
        return frozenset([("short", *tokens)])
    return frozenset(zip(*(code[offset:] for offset in range(SHINGLE_TOKENS)), strict=False))


def jaccard(left: frozenset[Hashable], right: frozenset[Hashable]) -> float:
    """Return the size of the intersection over the size of the union of two non-empty sets."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


class DisjointSets:
    """Union-find whose representative is the smallest member (path halving; Tarjan 1975)."""

    def __init__(self, members: Iterable[str]) -> None:
        self._parent = {member: member for member in members}

    def find(self, member: str) -> str:
        """Return the smallest member of the set that holds `member`."""
        parent = self._parent
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, left: str, right: str) -> None:
        """Merge the sets that hold `left` and `right`."""
        low, high = sorted((self.find(left), self.find(right)))
        self._parent[high] = low


def cluster_near_duplicates(
    texts: Mapping[str, str], threshold: float = NEAR_DUPLICATE_THRESHOLD
) -> dict[str, str]:
    """Return, for each id of `texts`, the smallest id of its near-duplicate cluster.

    Exact: the clusters are the connected components over all pairs with Jaccard >= `threshold`
    (0 < threshold <= 1), whatever the order of `texts`.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; expected 0 < threshold <= 1")
    copies: dict[frozenset[Hashable], list[str]] = {}
    for name in sorted(texts):
        copies.setdefault(shingles(texts[name]), []).append(name)
    # Equal sets are one row, so that copies do not square the number of pairs below.
    groups = list(copies.values())
    smallest: dict[int, str] = {}
    found: dict[str, str] = {}
    # Groups come in the order of their first names, so a component's first one names it.
    for group, component in zip(groups, _components(list(copies), threshold), strict=True):
        representative = smallest.setdefault(component, group[0])
        found.update(dict.fromkeys(group, representative))
    return dict(sorted(found.items()))


def _components(sets: Sequence[frozenset[Hashable]], threshold: float) -> list[int]:
    """Return the number of each set's connected component, the pairs being the similar ones."""
    import numpy as np  # noqa: PLC0415 - heavy, as are the next two
    from scipy.sparse import coo_array, csr_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    if not sets:
        return []
    number: dict[Hashable, int] = {}
    columns = [number.setdefault(shingle, len(number)) for members in sets for shingle in members]
    sizes = np.array([len(members) for members in sets], dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ones = np.ones(len(columns), dtype=np.int32)
    holds = csr_array((ones, columns, starts), shape=(len(sets), len(number)))
    joined: list[tuple[Any, Any]] = []
    for start in range(0, len(sets), _BLOCK):
        # An entry of the product of the 0/1 matrix with its transpose is an intersection's size.
        shared = (holds[start : start + _BLOCK] @ holds.T).tocoo()
        left, right = shared.coords[0] + start, shared.coords[1]
        similar = shared.data / (sizes[left] + sizes[right] - shared.data) >= threshold
        joined.append((left[similar], right[similar]))
    left, right = (np.concatenate(side) for side in zip(*joined, strict=True))
    pairs = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(len(sets),) * 2)
    return [int(component) for component in connected_components(pairs, directed=False)[1]]
