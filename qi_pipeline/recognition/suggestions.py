"""Suggest a type for each unit from its vector, learned from other files.

Flows in: `EmbeddedUnits`. Flows out: a type and its probability for each unit, with or without a
type of its own. How well they agree with the types by syntax is measured in `agreement`.

The classifier is a multinomial logistic regression on the principal components. On the real library
it agrees with syntax more often than a vote of nearest neighbours, which the report gives beside
it, and its probabilities need no calibration.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from qi_pipeline.extraction.pattern import PATTERN_TYPES, PatternType
from qi_pipeline.recognition.units import EmbeddedUnits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FOLDS: Final = 10
_COMPONENTS: Final = 100
"""Principal components of 384 dimensions: as accurate as all of them in a tenth of the time."""
_INVERSE_REGULARIZATION: Final = 10.0
"""Of 3, 10, 30 and 100 the one whose probabilities were nearest to the agreement observed."""
_ITERATIONS: Final = 2000


@dataclass(frozen=True)
class SuggestedType:
    """A type and how sure the classifier is of it."""

    type: PatternType
    confidence: float
    """0 to 1; 0 when there was nothing to learn from."""


def suggest_types(units: EmbeddedUnits) -> list[SuggestedType]:
    """Return a suggestion for each unit, in order, each from a model that never saw its file."""
    suggested: dict[int, SuggestedType] = {}
    for held_out in _folds(units.files):
        suggested.update(zip(held_out, _suggest_fold(units, held_out), strict=True))
    return [suggested[place] for place in range(len(units.files))]


def _folds(files: Sequence[str]) -> list[list[int]]:
    """Return the places in up to ten parts of about one size, no file in two of them."""
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 - heavy

    folds = min(_FOLDS, len(set(files)))
    if folds <= 1:
        return [list(range(len(files)))]
    parts = GroupKFold(folds).split(files, groups=files)
    return [[int(place) for place in held_out] for _, held_out in parts]


def _suggest_fold(units: EmbeddedUnits, held_out: list[int]) -> list[SuggestedType]:
    training = units.apart_from(held_out)
    kinds = [cast("PatternType", units.types[place]) for place in training]
    if len(set(kinds)) <= 1:
        likely = most_frequent_type(kinds or [kind for kind in units.types if kind is not None])
        return [SuggestedType(likely, 0.0) for _ in held_out]
    classifier = _fit(units.vectors[training], kinds)
    return [
        SuggestedType(classifier.classes_[row.argmax()], float(row.max()))
        for row in classifier.predict_proba(units.vectors[held_out])
    ]


def _fit(vectors: "NDArray[np.float32]", kinds: list[PatternType]) -> Any:
    from sklearn.decomposition import PCA  # noqa: PLC0415 - heavy
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415

    components = min(_COMPONENTS, *vectors.shape)
    return make_pipeline(
        # The other solvers draw random numbers.
        PCA(components, svd_solver="full"),
        LogisticRegression(C=_INVERSE_REGULARIZATION, max_iter=_ITERATIONS),
    ).fit(vectors, kinds)


def most_frequent_type(kinds: Sequence[PatternType]) -> PatternType:
    """Return the type that occurs most often; of equals the first in the order of the types."""
    counts = Counter(kinds)
    return max(PATTERN_TYPES, key=lambda kind: counts[kind])
