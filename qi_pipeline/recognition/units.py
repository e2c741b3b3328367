"""Units with their vectors, and which of them a prediction may learn from.

Flows in: patterns with and without a type, and a function that embeds texts. Flows out:
`EmbeddedUnits`. What is learned from them belongs to `suggestions`, `neighbours` and `clusters`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qi_pipeline.extraction.pattern import Pattern, PatternType, UntypedPattern
from qi_pipeline.recognition.duplicates import cluster_near_duplicates
from qi_pipeline.recognition.embeddings import search_document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Embed = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Texts to one unit vector each, such as `embed_texts` with its cache bound."""


@dataclass(frozen=True)
class EmbeddedUnits:
    """Units in the order of their ids, and in the same order what is known of them."""

    patterns: tuple[UntypedPattern, ...]
    types: tuple[PatternType | None, ...]
    """By syntax; None where it gives none."""
    files: tuple[str, ...]
    duplicates: tuple[str, ...]
    """Cluster of near-duplicates."""
    vectors: "NDArray[np.float32]"
    """Unit vectors, of shape (units, dimensions)."""

    def typed(self) -> list[int]:
        """Return the places of the units with a type."""
        return [place for place, kind in enumerate(self.types) if kind is not None]

    def apart_from(self, places: Iterable[int]) -> list[int]:
        """Return the places of the typed units that may teach something about those at `places`.

        A unit that shares a source file with one of them, or is a near-duplicate of one, would give
        the answer away, as the unit itself would.
        """
        held_out = list(places)
        files = {self.files[place] for place in held_out}
        duplicates = {self.duplicates[place] for place in held_out}
        return [
            place
            for place in self.typed()
            if self.files[place] not in files and self.duplicates[place] not in duplicates
        ]


def embed_units(patterns: Iterable[UntypedPattern], embed: Embed) -> EmbeddedUnits:
    """Embed `patterns`, those of class `Pattern` being the typed ones.

    Raises ValueError when two share an id.
    """
    ordered = tuple(sorted(patterns, key=lambda pattern: pattern.id))
    clusters = cluster_near_duplicates({item.id: item.implementation for item in ordered})
    if len(clusters) != len(ordered):
        raise ValueError("two units share an id")
    return EmbeddedUnits(
        patterns=ordered,
        types=tuple(item.type if isinstance(item, Pattern) else None for item in ordered),
        files=tuple(item.metadata.source_file for item in ordered),
        duplicates=tuple(clusters[item.id] for item in ordered),
        vectors=embed([search_document(item.instruction, item.implementation) for item in ordered]),
    )
