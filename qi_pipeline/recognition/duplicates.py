"""Cluster near-duplicate TypeScript texts, exactly and in any order.

Flows in: id -> source text. Flows out: id -> the smallest id of its cluster. What is done about a
duplicate (reject it, keep a group on one side of a split) is decided elsewhere.

Two texts are near-duplicates when the Jaccard index of their sets of 5-token shingles (Broder
1997, "On the resemblance and containment of documents") reaches the threshold; clusters are the
connected components of that relation. Candidate pairs come from an inverted index over shingle
prefixes (Chaudhuri, Ganti & Kaushik 2006; Bayardo, Ma & Srikant 2007, "Scaling up all pairs
similarity search"), which drops pairs that cannot reach the threshold and never one that can.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final

SHINGLE_TOKENS: Final = 5
NEAR_DUPLICATE_THRESHOLD: Final = 0.7

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


def _candidates(
    sets: Mapping[str, frozenset[Hashable]], threshold: float
) -> Iterator[tuple[str, str]]:
    """Yield every pair of ids that may reach the threshold.

    Sets in a common order of shingles, rarest first: two sets with Jaccard >= t share a shingle
    among the first |s| - ceil(t |s|) + 1 of each, and the smaller has at least t times the size
    of the larger.
    """
    frequency = Counter(shingle for members in sets.values() for shingle in members)
    rank = {
        shingle: number for number, (shingle, _) in enumerate(reversed(frequency.most_common()))
    }
    index: dict[Hashable, list[str]] = defaultdict(list)
    for name in sorted(sets, key=lambda name: len(sets[name])):
        size = len(sets[name])
        # Rounding down a hair can only lengthen the prefix, which never loses a pair.
        prefix = size - math.ceil(threshold * size - 1e-9) + 1
        seen: set[str] = set()
        for shingle in sorted(sets[name], key=rank.__getitem__)[:prefix]:
            seen.update(
                other for other in index[shingle] if len(sets[other]) >= threshold * size - 1e-9
            )
            index[shingle].append(name)
        for other in seen:
            yield name, other


def cluster_near_duplicates(
    texts: Mapping[str, str], threshold: float = NEAR_DUPLICATE_THRESHOLD
) -> dict[str, str]:
    """Return, for each id of `texts`, the smallest id of its near-duplicate cluster.

    Exact: the clusters are the connected components over all pairs with Jaccard >= `threshold`
    (0 < threshold <= 1), whatever the order of `texts`.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; expected 0 < threshold <= 1")
    clusters = DisjointSets(texts)
    distinct: dict[frozenset[Hashable], str] = {}
    for name, text in texts.items():
        # Equal sets are joined here, so that copies do not square the number of pairs below.
        clusters.join(distinct.setdefault(shingles(text), name), name)
    sets = {name: members for members, name in distinct.items()}
    for left, right in _candidates(sets, threshold):
        if clusters.find(left) != clusters.find(right) and (
            jaccard(sets[left], sets[right]) >= threshold
        ):
            clusters.join(left, right)
    return {name: clusters.find(name) for name in sorted(texts)}
