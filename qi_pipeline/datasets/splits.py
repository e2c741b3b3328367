"""Divide patterns into train and validation so that nothing close to a training row is held out.

Flows in: one `SplitItem` per pattern and fix pair. Flows out: its split and group. No group has
members on both sides. What a sample looks like does not matter here.

A group is a connected component over shared source file and shared ties: a near-duplicate cluster,
the commit of fix pairs, a unit and the test that shows it. Rows of one file share helpers, and 77%
of the real library's declarations have near-duplicates elsewhere. Where such components are too
large to hold about the wanted fraction out, the largest is broken up into shared containers (a
tutorial's section, a declaration) and ties, then into ties alone. What ties hold together is never
broken up.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from qi_pipeline.artefacts import content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.recognition.duplicates import DisjointSets

Split = Literal["train", "validation"]

_OVERSHOOT: Final = 1.5
"""A group up to this multiple of the wanted validation size can serve as validation."""


@dataclass(frozen=True)
class SplitItem:
    """What splitting needs to know of one pattern or fix pair."""

    id: str
    source_file: str
    container: str
    duplicate_cluster: str
    type: str
    samples: int
    """Training rows made of it; 0 when all were left out."""
    ties: tuple[str, ...] = ()
    """What it shares with others that must never be on the other side: commits, shown units, …"""


@dataclass(frozen=True)
class Assignment:
    """Where a pattern or fix pair went."""

    split: Split
    group: str
    """Smallest id of the group."""


@dataclass(frozen=True)
class _Group:
    items: tuple[SplitItem, ...]
    level: int
    """How finely it was cut: index into `_LINKS`."""

    @property
    def id(self) -> str:
        return min(item.id for item in self.items)

    @property
    def samples(self) -> int:
        return sum(item.samples for item in self.items)

    @property
    def samples_by_type(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for item in self.items:
            counts[item.type] += item.samples
        return counts


def _ties(item: SplitItem) -> tuple[Hashable, ...]:
    return (("cluster", item.duplicate_cluster), *(("tie", tie) for tie in item.ties))


def _file(item: SplitItem) -> tuple[Hashable, ...]:
    return (("file", item.source_file),)


def _container(item: SplitItem) -> tuple[Hashable, ...]:
    return (("container", item.source_file, item.container),)


_LINKS: Final = ((_file, _ties), (_container, _ties), (_ties,))
"""What holds items together, coarsest first."""


def assign_splits(
    items: Iterable[SplitItem], *, validation_fraction: float, seed: int
) -> dict[str, Assignment]:
    """Return the split and group of each item, by id; the order of `items` does not matter.

    About `validation_fraction` (0 < f <= 0.5) of the samples go to validation, each type in
    proportion as far as whole groups allow; `seed` decides between equally good choices. Both
    sides get at least one sample.

    Raises QiPipelineError when fewer than two groups have samples, since nothing could be held out.
    """
    if not 0 < validation_fraction <= 0.5:  # noqa: PLR2004
        raise QiPipelineError(
            f"validation_fraction is {validation_fraction}; expected more than 0 and at most 0.5"
        )
    groups = _form_groups(sorted(items, key=lambda item: item.id), validation_fraction)
    held_out = _choose_validation(groups, validation_fraction, seed)
    return {
        item.id: Assignment("validation" if group.id in held_out else "train", group.id)
        for group in groups
        for item in group.items
    }


def _components(items: Sequence[SplitItem], level: int) -> list[_Group]:
    """Return the connected components of `items` over the links of `level`."""
    sets = DisjointSets(item.id for item in items)
    first: dict[Hashable, str] = {}
    for item in items:
        for link in (link for links in _LINKS[level] for link in links(item)):
            sets.join(first.setdefault(link, item.id), item.id)
    members: dict[str, list[SplitItem]] = {}
    for item in items:
        members.setdefault(sets.find(item.id), []).append(item)
    return [_Group(tuple(group), level) for group in members.values()]


def _form_groups(items: Sequence[SplitItem], fraction: float) -> list[_Group]:
    """Return the coarsest groups of which enough are small enough to be held out."""
    groups = _components(items, level=0)
    target = fraction * sum(group.samples for group in groups)
    while sum(g.samples for g in groups if g.samples <= _OVERSHOOT * target) < target:
        breakable = [g for g in groups if g.level + 1 < len(_LINKS) and len(g.items) > 1]
        if not breakable:
            break
        largest = max(breakable, key=lambda group: (group.samples, group.id))
        groups.remove(largest)
        groups += _components(largest.items, largest.level + 1)
    return sorted(groups, key=lambda group: group.id)


def _choose_validation(groups: Sequence[_Group], fraction: float, seed: int) -> frozenset[str]:
    """Return the ids of the groups to hold out.

    Greedy, after the iterative stratification of Sechidis, Tsoumakas & Vlahavas (2011): take the
    group that brings total and per-type counts nearest to what is wanted, until none does. The
    distance is Pearson's chi-squared, so that a rare type counts as much as a common one.
    """
    candidates = [group for group in groups if group.samples]
    if len(candidates) < 2:  # noqa: PLR2004
        raise QiPipelineError(
            f"all {sum(len(group.items) for group in groups)} kept patterns are near-duplicates of "
            "one another, so none can be held out for validation; extract from more sources"
        )
    candidates.sort(key=lambda group: content_hash([seed, group.id]))
    counts = {group.id: _counts(group) for group in candidates}
    wanted = {name: fraction * count for name, count in _sum(counts.values()).items() if count}
    held: Counter[str] = Counter()
    chosen: set[str] = set()
    while len(candidates) > 1:
        best = min(candidates, key=lambda group: _distance(held + counts[group.id], wanted))
        if chosen and _distance(held + counts[best.id], wanted) >= _distance(held, wanted):
            break
        chosen.add(best.id)
        candidates.remove(best)
        held += counts[best.id]
    return frozenset(chosen)


def _counts(group: _Group) -> Counter[str]:
    """Return samples per type, and in all under the empty name."""
    return group.samples_by_type + Counter({"": group.samples})


def _sum(counts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total += count
    return total


def _distance(held: Mapping[str, int], wanted: Mapping[str, float]) -> float:
    return sum((held.get(name, 0) - count) ** 2 / count for name, count in wanted.items())
