"""What recognition says, as records that are stored and shown.

`Recognition` is one unit's row; `RecognitionReport` holds them all and how far they can be trusted.
"""

from pydantic import BaseModel, ConfigDict

from qi_pipeline.extraction.pattern import PatternType


class Recognition(BaseModel):
    """What recognition says of one unit, learned from units of other files alone."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The pattern's."""
    cluster: int
    """Number of its density cluster, 0 for the largest; -1 when it belongs to none."""
    suggested_type: PatternType
    confidence: float
    """Probability of `suggested_type`, 0 to 1; 0 when the other files show fewer than two types, so
    that nothing could be learned and the suggestion is the most frequent type."""
    novelty: float
    """Share of the typed units that lie nearer to their neighbours than this one does, 0 to 1."""
    nearest: tuple[str, ...]
    """Ids of the most similar typed units, the most similar first."""


class Cluster(BaseModel):
    """Units that lie close together."""

    model_config = ConfigDict(frozen=True)

    number: int
    size: int
    label: str
    """Most frequent type and most typical symbols, as `cache_patterns: createMemoryCache`."""
    types: dict[PatternType, int]
    """Units of each type; units without a type are not in it."""


class ConfidenceBand(BaseModel):
    """How often suggestions of about one confidence agree."""

    model_config = ConfigDict(frozen=True)

    low: float
    """Inclusive."""
    high: float
    """Exclusive, but for the last band."""
    count: int
    mean_confidence: float | None
    """None when no suggestion falls into the band, as the next."""
    accuracy: float | None


class Agreement(BaseModel):
    """How far suggestions for held-out files agree with the types that syntax gives.

    It says how well a unit's text tells its type, not how often the suggestion or the type is right
    by a person's judgement.
    """

    model_config = ConfigDict(frozen=True)

    count: int
    """Typed units."""
    files: int
    """Source files that they come from."""
    accuracy: float
    """Share whose suggested type is the unit's type."""
    accuracy_any: float
    """Share whose suggested type is one of the types that the unit shows (`Pattern.types`)."""
    macro_f1: float
    """Mean of the F1 scores of the types that occur."""
    majority_type: PatternType
    majority_accuracy: float
    """What always answering `majority_type` would score."""
    neighbour_accuracy: float
    """What a similarity-weighted vote of the five nearest units would score."""
    confusion: dict[PatternType, dict[PatternType, int]]
    """Type by syntax -> suggested type -> units; rows and columns for every type that occurs."""
    bands: tuple[ConfidenceBand, ...]
    calibration_error: float
    """Mean over the units of |confidence - accuracy| of their band (expected calibration error;
    Naeini, Cooper & Hauskrecht 2015)."""


class RecognitionReport(BaseModel):
    """All that recognition says of one extraction."""

    model_config = ConfigDict(frozen=True)

    recognitions: tuple[Recognition, ...]
    """One per unit, sorted by id."""
    agreement: Agreement
    clusters: tuple[Cluster, ...]
    """The largest first."""
    noise_share: float
    """Share of the units that belong to no cluster."""
    embedding_seconds: float
    """Wall time; next to nothing when the vectors were cached."""
    recognition_seconds: float
    """Wall time of everything else."""

    def by_id(self) -> dict[str, Recognition]:
        """Return the rows by pattern id."""
        return {row.id: row for row in self.recognitions}
