"""The typed units nearest to each unit, what they vote, and how far away they are.

Flows in: `EmbeddedUnits`. Flows out: neighbours in other files, a vote and a novelty for each unit.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qi_pipeline.extraction.pattern import PATTERN_TYPES, PatternType
from qi_pipeline.recognition.units import EmbeddedUnits

VOTERS: Final = 5
_NOVELTY_NEIGHBOUR: Final = 3
"""Distance to the third: one chance resemblance does not make a stranger familiar."""
_FARTHEST: Final = 2.0
"""Cosine distance of opposite vectors."""


@dataclass(frozen=True)
class Neighbour:
    """A typed unit near another."""

    place: int
    similarity: float
    """Cosine, -1 to 1."""


def find_neighbours(units: EmbeddedUnits, count: int = VOTERS) -> list[tuple[Neighbour, ...]]:
    """Return for each unit up to `count` typed units, the nearest first.

    None of them shares the unit's source file or is a near-duplicate of it.
    """
    import numpy as np  # noqa: PLC0415 - heavy

    files, duplicates = np.array(units.files), np.array(units.duplicates)
    typed = np.array(units.typed(), dtype=int)
    candidates = units.vectors[typed]
    found = []
    for place, vector in enumerate(units.vectors):
        allowed = (files[typed] != files[place]) & (duplicates[typed] != duplicates[place])
        similarities = candidates[allowed] @ vector
        order = np.argsort(-similarities, kind="stable")[:count]
        found.append(
            tuple(
                Neighbour(int(other), float(similarity))
                for other, similarity in zip(
                    typed[allowed][order], similarities[order], strict=True
                )
            )
        )
    return found


def vote(units: EmbeddedUnits, neighbours: Sequence[Neighbour]) -> PatternType | None:
    """Return the type with most similarity behind it; None without neighbours."""
    weights: dict[PatternType, float] = defaultdict(float)
    for neighbour in neighbours:
        kind = units.types[neighbour.place]
        if kind is not None:
            # An opposite vector must not vote against its type.
            weights[kind] += max(neighbour.similarity, 0.0)
    if not weights:
        return None
    return max(PATTERN_TYPES, key=lambda kind: weights[kind])


def novelties(units: EmbeddedUnits, neighbours: Sequence[Sequence[Neighbour]]) -> list[float]:
    """Return for each unit how unlike all typed units of other files it is, 0 to 1.

    The measure is the cosine distance to the third nearest, as its rank among those of the typed
    units: 0.95 means that 95% of them lie nearer to their neighbours. Between ranks, and beyond the
    last, it grows with the distance, so that it orders any two units.
    """
    import numpy as np  # noqa: PLC0415 - heavy

    distances = np.array([_distance(found) for found in neighbours])
    known = np.sort(distances[units.typed()])
    marks = np.concatenate([[0.0], known, [_FARTHEST]])
    return [float(value) for value in np.interp(distances, marks, np.linspace(0, 1, len(marks)))]


def _distance(neighbours: Sequence[Neighbour]) -> float:
    if not neighbours:
        return _FARTHEST
    return 1 - neighbours[:_NOVELTY_NEIGHBOUR][-1].similarity
