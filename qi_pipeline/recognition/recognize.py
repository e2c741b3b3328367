"""From units to what recognition says of them.

Flows in: units with and without a type, and a function that embeds texts. Flows out: a
`RecognitionReport`. What is done about a novel unit or a disagreement belongs to `validation`.
"""

import time
from collections.abc import Iterable
from typing import Final

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import UntypedPattern
from qi_pipeline.recognition.agreement import measure_agreement
from qi_pipeline.recognition.clusters import NOISE, describe_clusters, find_clusters
from qi_pipeline.recognition.neighbours import find_neighbours, novelties
from qi_pipeline.recognition.records import Recognition, RecognitionReport
from qi_pipeline.recognition.suggestions import suggest_types
from qi_pipeline.recognition.threads import one_thread
from qi_pipeline.recognition.units import Embed, embed_units

_SHOWN: Final = 3
"""Neighbours that a row names."""


def recognize(patterns: Iterable[UntypedPattern], embed: Embed) -> RecognitionReport:
    """Say of every unit what it resembles.

    The units of class `Pattern` have a type and are what is learned from; the others only receive
    suggestions. Nothing said of a unit's type is learned from its own file or its near-duplicates.
    The result does not depend on the order of `patterns`. Raises QiPipelineError when none has a
    type.
    """
    started = time.perf_counter()
    units = embed_units(patterns, embed)
    if not units.typed():
        raise QiPipelineError(
            f"none of {len(units.patterns)} units has a type, so there is nothing to learn types "
            "from; look whether the profile's types list symbols that the library exports"
        )
    embedded = time.perf_counter()
    with one_thread():
        neighbours = find_neighbours(units)
        suggested = suggest_types(units)
        clusters = find_clusters(units)
        unlikeness = novelties(units, neighbours)
    recognitions = tuple(
        Recognition(
            id=pattern.id,
            cluster=clusters[place],
            suggested_type=suggested[place].type,
            confidence=suggested[place].confidence,
            novelty=unlikeness[place],
            nearest=tuple(units.patterns[near.place].id for near in neighbours[place][:_SHOWN]),
        )
        for place, pattern in enumerate(units.patterns)
    )
    return RecognitionReport(
        recognitions=recognitions,
        agreement=measure_agreement(units, suggested, neighbours),
        clusters=describe_clusters(units, clusters),
        noise_share=clusters.count(NOISE) / len(clusters),
        embedding_seconds=embedded - started,
        recognition_seconds=time.perf_counter() - embedded,
    )
