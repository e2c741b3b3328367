"""The counts of one data set: what the card prints, the Dagster UI plots and checks compare.

Flows in: validated rows and what was made of them. Flows out: a `DatasetSummary`. How samples are
made or written does not belong here.
"""

import re
from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from qi_pipeline.datasets.samples import TaskKind
from qi_pipeline.validation.verdict import ValidatedPattern

_PATTERN_ID = re.compile(r"\b[0-9a-f]{16}\b")


class DatasetSummary(BaseModel):
    """What one data set holds and what was left out of it; every count is of what its name says."""

    model_config = ConfigDict(frozen=True)

    patterns: int
    """Kept patterns that overlap with no task: lines of `qi-patterns.jsonl`."""
    rejected_patterns: int
    rejection_reasons: dict[str, int]
    """Reason to rejected patterns; a pattern with two reasons counts under both."""
    patterns_by_type: dict[str, int]
    patterns_by_category: dict[str, int]
    patterns_by_source_kind: dict[str, int]
    fix_pairs: int
    """Violation → fix pairs of the library's history."""
    samples: int
    """Questions with answers: entries of the Alpaca and conversation files."""
    samples_by_kind: dict[TaskKind, int]
    samples_by_phrasing: dict[str, int]
    ambiguous: int
    """Samples dropped because a better pattern answers the same question differently."""
    repeated: int
    """Samples dropped because the same question has the same answer already."""
    leaking: int
    """Samples dropped because their question shows their answer."""
    tasks: int
    """Tasks of the evaluation that the samples were compared with."""
    overlapping: int
    """Samples dropped because they are too much like one of those tasks."""
    overlapping_patterns: int
    """Kept patterns left out of `qi-patterns.jsonl` for the same reason."""
    test_cases: int
    """Samples of test cases: in every file but the two parquet files."""
    explanations: int
    """Samples that ask for an explanation: in every file but the two parquet files."""
    too_long: int
    """Samples over `max_characters`: in every file but the two parquet files."""
    train: int
    """Rows of `train.parquet`."""
    validation: int
    """Rows of `validation.parquet`."""
    train_by_kind: dict[TaskKind, int]
    validation_by_kind: dict[TaskKind, int]
    train_by_type: dict[str, int]
    """Pattern type, or `fix_pair`, to rows."""
    validation_by_type: dict[str, int]
    groups: int
    """Groups of related patterns; each lies wholly on one side."""
    largest_group: int
    """Training and validation rows of the largest group."""
    data_version: str
    """SHA-256 over the sample contents and their split: independent of path, time and commit."""


def count_rejections(rows: Iterable[ValidatedPattern]) -> dict[str, int]:
    """Return reason to number of rejected rows, most frequent first.

    `R2: reads .value of ...` counts as `R2`, and ids of other patterns are masked.
    """
    counts: Counter[str] = Counter()
    for row in rows:
        if row.status == "rejected":
            kinds = (reason.partition(":")[0] for reason in row.reasons)
            counts.update({_PATTERN_ID.sub("another pattern", kind) for kind in kinds})
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def count_values(values: Iterable[str]) -> dict[str, int]:
    """Return value to count, by name."""
    return dict(sorted(Counter(values).items()))
