"""How far the suggested types agree with the types by syntax.

Flows in: `EmbeddedUnits` and what was suggested for each. Flows out: an `Agreement`, and its
confusion matrix as a Markdown table. A unit's type by syntax follows from the symbols it calls;
recognition sees its text alone, so the two are independent readings of one unit.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from qi_pipeline.extraction.pattern import PATTERN_TYPES, Pattern, PatternType
from qi_pipeline.recognition.neighbours import Neighbour, vote
from qi_pipeline.recognition.records import Agreement, ConfidenceBand
from qi_pipeline.recognition.suggestions import SuggestedType, most_frequent_type
from qi_pipeline.recognition.units import EmbeddedUnits

_BAND_EDGES: Final = (0.0, 0.5, 0.7, 0.9, 1.0)


def measure_agreement(
    units: EmbeddedUnits,
    suggested: Sequence[SuggestedType],
    neighbours: Sequence[Sequence[Neighbour]],
) -> Agreement:
    """Compare what was `suggested` for each unit with its type; units without one are left out.

    At least one must have a type.
    """
    from sklearn.metrics import f1_score  # noqa: PLC0415 - heavy

    typed = [
        (place, pattern)
        for place, pattern in enumerate(units.patterns)
        if isinstance(pattern, Pattern)
    ]
    truth = [pattern.type for _, pattern in typed]
    answers = [suggested[place] for place, _ in typed]
    majority = most_frequent_type(truth)
    right = [answer.type == kind for answer, kind in zip(answers, truth, strict=True)]
    shown = [
        answer.type in (p.types or (p.type,)) for answer, (_, p) in zip(answers, typed, strict=True)
    ]
    votes = [vote(units, neighbours[place]) for place, _ in typed]
    voted = [kind == ballot for kind, ballot in zip(truth, votes, strict=True)]
    bands = _bands(answers, right)
    return Agreement(
        count=len(truth),
        files=len({units.files[place] for place, _ in typed}),
        accuracy=_share(right),
        accuracy_any=_share(shown),
        macro_f1=float(
            f1_score(
                truth,
                [answer.type for answer in answers],
                labels=sorted(set(truth)),
                average="macro",
                zero_division=0,
            )
        ),
        majority_type=majority,
        majority_accuracy=_share([kind == majority for kind in truth]),
        neighbour_accuracy=_share(voted),
        confusion=_confusion(truth, [answer.type for answer in answers]),
        bands=bands,
        calibration_error=sum(
            band.count * abs(band.mean_confidence - band.accuracy)
            for band in bands
            if band.mean_confidence is not None and band.accuracy is not None
        )
        / len(truth),
    )


def _share(answers: Sequence[bool]) -> float:
    return sum(answers) / len(answers)


def _confusion(
    truth: Sequence[PatternType], answers: Sequence[PatternType]
) -> dict[PatternType, dict[PatternType, int]]:
    occurring = [kind for kind in PATTERN_TYPES if kind in {*truth, *answers}]
    counts = {row: dict.fromkeys(occurring, 0) for row in occurring}
    for kind, answer in zip(truth, answers, strict=True):
        counts[kind][answer] += 1
    return counts


def _bands(answers: Sequence[SuggestedType], right: Sequence[bool]) -> tuple[ConfidenceBand, ...]:
    bands = []
    for low, high in pairwise(_BAND_EDGES):
        inside = [
            (answer.confidence, correct)
            for answer, correct in zip(answers, right, strict=True)
            if low <= answer.confidence < high or answer.confidence == high == _BAND_EDGES[-1]
        ]
        count = len(inside)
        bands.append(
            ConfidenceBand(
                low=low,
                high=high,
                count=count,
                mean_confidence=sum(sure for sure, _ in inside) / count if count else None,
                accuracy=_share([correct for _, correct in inside]) if count else None,
            )
        )
    return tuple(bands)


def confusion_table(agreement: Agreement) -> str:
    """Return the confusion matrix as a Markdown table, types by syntax in the rows."""
    kinds = list(agreement.confusion)
    lines = [
        "| by syntax, down; suggested, across | " + " | ".join(kinds) + " | all |",
        "|---|" + "---:|" * (len(kinds) + 1),
    ]
    for kind, row in agreement.confusion.items():
        cells = [str(count) if count else "·" for count in row.values()]
        lines.append(f"| {kind} | " + " | ".join(cells) + f" | {sum(row.values())} |")
    return "\n".join(lines) + "\n"
