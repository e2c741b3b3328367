"""Groups of units that lie close together, found by density, and a name for each.

Flows in: `EmbeddedUnits`. Flows out: a cluster number per unit and the `Cluster`s. Types take no
part in finding them; they only describe what was found. Copies of one text are another matter, see
`duplicates`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from qi_pipeline.extraction.pattern import PATTERN_TYPES
from qi_pipeline.recognition.records import Cluster
from qi_pipeline.recognition.units import EmbeddedUnits

NOISE: Final = -1
_SMALLEST: Final = 5
"""Units that make a cluster."""
_CORE: Final = 2
"""Neighbours, itself included, that make a unit's surroundings dense; more leaves more noise."""
_COMPONENTS: Final = 30
"""Density says little in 384 dimensions, where all distances are about equal."""
_LABEL_SYMBOLS: Final = 3
_UNTYPED: Final = "no type"


def find_clusters(units: EmbeddedUnits) -> list[int]:
    """Return the number of each unit's cluster, 0 for the largest; -1 for units of none.

    HDBSCAN (Campello, Moulavi & Sander 2013) with the leaves of its tree as clusters: the units of
    one library form one region of varying density, which the method's default returns whole.
    """
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415 - heavy
    from sklearn.decomposition import PCA  # noqa: PLC0415

    if len(units.patterns) < _SMALLEST:
        return [NOISE] * len(units.patterns)
    components = min(_COMPONENTS, *units.vectors.shape)
    points = PCA(components, svd_solver="full").fit_transform(units.vectors)
    found = HDBSCAN(
        min_cluster_size=_SMALLEST,
        min_samples=_CORE,
        cluster_selection_method="leaf",
        copy=True,
    ).fit_predict(points)
    return _renumbered([int(number) for number in found])


def _renumbered(numbers: Sequence[int]) -> list[int]:
    """Return the numbers by size of cluster, then by its first unit; noise stays noise."""
    sizes = Counter(numbers)
    order = sorted(
        set(numbers) - {NOISE}, key=lambda number: (-sizes[number], numbers.index(number))
    )
    place = {number: position for position, number in enumerate(order)} | {NOISE: NOISE}
    return [place[number] for number in numbers]


def describe_clusters(units: EmbeddedUnits, numbers: Sequence[int]) -> tuple[Cluster, ...]:
    """Return the clusters that `numbers` (one per unit) make, in their order."""
    everywhere = _symbol_counts(units, range(len(numbers)))
    clusters = []
    for number in range(max(numbers, default=NOISE) + 1):
        members = [place for place, found in enumerate(numbers) if found == number]
        kinds = Counter(kind for place in members if (kind := units.types[place]) is not None)
        ranked = sorted(kinds, key=lambda kind: (-kinds[kind], PATTERN_TYPES.index(kind)))
        symbols = _typical_symbols(_symbol_counts(units, members), everywhere, len(numbers))
        name = ranked[0] if ranked else _UNTYPED
        clusters.append(
            Cluster(
                number=number,
                size=len(members),
                label=f"{name}: {', '.join(symbols)}" if symbols else name,
                types={kind: kinds[kind] for kind in ranked},
            )
        )
    return tuple(clusters)


def _symbol_counts(units: EmbeddedUnits, places: Sequence[int]) -> Counter[str]:
    """Return in how many of the units each library symbol is called."""
    return Counter(
        symbol.partition(":")[2]
        for place in places
        for symbol in dict.fromkeys(units.patterns[place].symbols)
    )


def _typical_symbols(inside: Counter[str], everywhere: Counter[str], total: int) -> list[str]:
    """Return the symbols that are frequent in a cluster and rare elsewhere (tf-idf)."""
    weight = {symbol: inside[symbol] * math.log(total / everywhere[symbol]) for symbol in inside}
    return sorted(weight, key=lambda symbol: (-weight[symbol], symbol))[:_LABEL_SYMBOLS]
