"""Write the training files of one set of validated patterns.

Flows in: `ValidatedPattern` rows, a profile and the snapshot they come from. Flows out: a folder
with every format, the split manifest, the card and the counts. The same rows in any order give the
same bytes. Naming the folder and renaming it into place is the caller's part, through
`artefacts.build_directory` and `datasets_key`.
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qi_pipeline.artefacts import content_hash, write_bytes, write_json, write_jsonl, write_text
from qi_pipeline.datasets.card import render_card
from qi_pipeline.datasets.formats import (
    alpaca_record,
    characters_of,
    conversation_record,
    pattern_record,
    prompt_completion_record,
)
from qi_pipeline.datasets.splits import Assignment, Split, SplitItem, assign_splits
from qi_pipeline.datasets.summary import DatasetSummary, count_rejections, count_values
from qi_pipeline.datasets.synthesis import PHRASINGS, Sample, Synthesis, synthesize_samples
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.validation.verdict import ValidatedPattern

FORMAT_VERSION: Final = 1
"""To be raised when equal rows give other files, so that folders of the old form are not reused."""
DEFAULT_VALIDATION_FRACTION: Final = 0.1
DEFAULT_SEED: Final = 42
DEFAULT_MAX_CHARACTERS: Final = 3600
"""About 1,200 tokens of TypeScript at three characters each."""


@dataclass(frozen=True)
class _Dataset:
    """All that the files are written from."""

    patterns: tuple[Pattern, ...]
    synthesis: Synthesis
    assignments: Mapping[str, Assignment]
    """Pattern id to split and group."""
    trainable: frozenset[str]
    """Ids of the samples that belong in the parquet files: short enough, and no test cases."""
    system_prompt: str

    def rows_of(self, split: Split) -> list[Sample]:
        """Return the samples of one parquet file."""
        return [
            sample
            for sample in self.synthesis.samples
            if sample.id in self.trainable and self.assignments[sample.pattern_id].split == split
        ]


def datasets_key(
    rows: Iterable[ValidatedPattern],
    profile: Profile,
    *,
    validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
    seed: int = DEFAULT_SEED,
    max_characters: int = DEFAULT_MAX_CHARACTERS,
    max_phrasings: int = len(PHRASINGS),
) -> str:
    """Return the content name (64 hex digits) of the folder that `build_datasets` would fill.

    It covers the commit, which every row carries and which determines the rest of the card, so it
    changes more often than `DatasetSummary.data_version`, which covers the samples alone.
    """
    return content_hash(
        {
            "format": FORMAT_VERSION,
            "rows": [
                [
                    row.pattern.model_dump(mode="json"),
                    row.status,
                    row.reasons,
                    row.duplicate_cluster,
                ]
                for row in sorted(rows, key=lambda row: row.pattern.id)
            ],
            "profile": profile.model_dump(mode="json"),
            "options": [validation_fraction, seed, max_characters, max_phrasings],
        }
    )


def build_datasets(
    rows: Iterable[ValidatedPattern],
    profile: Profile,
    snapshot: Snapshot,
    destination: Path,
    *,
    validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
    seed: int = DEFAULT_SEED,
    max_characters: int = DEFAULT_MAX_CHARACTERS,
    max_phrasings: int = len(PHRASINGS),
) -> DatasetSummary:
    """Write every file of the data set into the folder `destination` and return the counts.

    Only kept rows become samples; rejected ones are counted by reason. Samples of more than
    `max_characters` (prompt and answer) are left out of the parquet files and counted.

    Raises QiPipelineError when an id occurs twice, or when fewer than two patterns, or nothing that
    is not a near-duplicate of the rest, are left to train on.
    """
    rows = sorted(rows, key=lambda row: row.pattern.id)
    dataset = _assemble(
        rows,
        profile,
        validation_fraction=validation_fraction,
        seed=seed,
        max_characters=max_characters,
        max_phrasings=max_phrasings,
    )
    summary = _summarize(dataset, rows)
    options = {
        "validation_fraction": validation_fraction,
        "seed": seed,
        "max_characters": max_characters,
        "max_phrasings": max_phrasings,
    }
    destination.mkdir(parents=True, exist_ok=True)
    _write_samples(dataset, destination)
    write_json(destination / "splits.json", {"options": options, "samples": _manifest(dataset)})
    write_text(destination / "README.md", render_card(summary, snapshot, profile, options))
    write_json(destination / "summary.json", summary.model_dump(mode="json"))
    return summary


def read_summary(directory: Path) -> DatasetSummary:
    """Return the counts of a data set written earlier.

    Raises QiPipelineError when `directory` holds none.
    """
    path = directory / "summary.json"
    if not path.is_file():
        raise QiPipelineError(f"{directory} holds no data set (no summary.json); run `qi datasets`")
    return DatasetSummary.model_validate_json(path.read_bytes())


def _assemble(
    rows: Sequence[ValidatedPattern],
    profile: Profile,
    *,
    validation_fraction: float,
    seed: int,
    max_characters: int,
    max_phrasings: int,
) -> _Dataset:
    kept = [row for row in rows if row.usable]
    _refuse_too_few(kept, rows)
    patterns = tuple(row.pattern for row in kept)
    synthesis = synthesize_samples(patterns, profile, max_phrasings=max_phrasings)
    modules = [s for s in synthesis.samples if s.pattern_id not in _test_cases(patterns)]
    trainable = frozenset(
        sample.id
        for sample in modules
        if characters_of(sample, profile.system_prompt) <= max_characters
    )
    if not trainable:
        raise QiPipelineError(
            f"none of {len(synthesis.samples)} samples can be trained on: "
            f"{len(synthesis.samples) - len(modules)} are test cases and {len(modules)} are longer "
            f"than max_characters = {max_characters}"
        )
    assignments = assign_splits(
        _split_items(kept, synthesis.samples, trainable),
        validation_fraction=validation_fraction,
        seed=seed,
    )
    return _Dataset(patterns, synthesis, assignments, trainable, profile.system_prompt)


def _test_cases(patterns: Iterable[Pattern]) -> frozenset[str]:
    """Return the ids of test cases.

    They show the library inside a test runner's frame; the model is to write library modules, and
    a small training budget spent on frames teaches it frames.
    """
    return frozenset(pattern.id for pattern in patterns if pattern.source_kind == "test")


def _refuse_too_few(kept: Sequence[ValidatedPattern], rows: Sequence[ValidatedPattern]) -> None:
    ids = [row.pattern.id for row in rows]
    twice = sorted({name for name, following in itertools.pairwise(ids) if name == following})
    if twice:
        raise QiPipelineError(f"pattern ids occur twice: {', '.join(twice)}; extract again")
    if len(kept) < 2:  # noqa: PLR2004
        reasons = ", ".join(f"{reason} ({n})" for reason, n in count_rejections(rows).items())
        raise QiPipelineError(
            f"{len(kept)} of {len(rows)} patterns were kept, but training needs at least 2, one of "
            f"them held out; rejected because of: {reasons or 'nothing (there were no patterns)'}"
        )


def _split_items(
    kept: Sequence[ValidatedPattern], samples: Sequence[Sample], trainable: frozenset[str]
) -> list[SplitItem]:
    counts = count_values(sample.pattern_id for sample in samples if sample.id in trainable)
    return [
        SplitItem(
            id=row.pattern.id,
            source_file=row.pattern.metadata.source_file,
            container=row.pattern.container,
            duplicate_cluster=row.duplicate_cluster,
            type=row.pattern.type,
            samples=counts.get(row.pattern.id, 0),
        )
        for row in kept
    ]


def _summarize(dataset: _Dataset, rows: Sequence[ValidatedPattern]) -> DatasetSummary:
    patterns, samples = dataset.patterns, dataset.synthesis.samples
    types = {pattern.id: pattern.type for pattern in patterns}
    train, validation = dataset.rows_of("train"), dataset.rows_of("validation")
    tests = _test_cases(patterns)
    test_cases = sum(sample.pattern_id in tests for sample in samples)
    groups = count_values(
        dataset.assignments[sample.pattern_id].group for sample in [*train, *validation]
    )
    return DatasetSummary(
        patterns=len(patterns),
        rejected_patterns=len(rows) - len(patterns),
        rejection_reasons=count_rejections(rows),
        patterns_by_type=count_values(pattern.type for pattern in patterns),
        patterns_by_category=count_values(pattern.category for pattern in patterns),
        patterns_by_source_kind=count_values(pattern.source_kind for pattern in patterns),
        samples=len(samples),
        samples_by_phrasing=count_values(sample.phrasing for sample in samples),
        ambiguous=dataset.synthesis.ambiguous,
        repeated=dataset.synthesis.repeated,
        test_cases=test_cases,
        too_long=len(samples) - test_cases - len(dataset.trainable),
        train=len(train),
        validation=len(validation),
        train_by_type=count_values(types[sample.pattern_id] for sample in train),
        validation_by_type=count_values(types[sample.pattern_id] for sample in validation),
        groups=len({assignment.group for assignment in dataset.assignments.values()}),
        largest_group=max(groups.values()),
        data_version=_data_version(dataset),
    )


def _data_version(dataset: _Dataset) -> str:
    return content_hash(
        {
            "system_prompt": dataset.system_prompt,
            "samples": [
                [sample.id, sample.instruction, sample.implementation, place]
                for sample, place in zip(
                    dataset.synthesis.samples, _manifest(dataset).values(), strict=True
                )
            ],
        }
    )


def _manifest(dataset: _Dataset) -> dict[str, dict[str, Any]]:
    """Return sample id to its place, in the order of the samples."""
    return {
        sample.id: {
            "split": dataset.assignments[sample.pattern_id].split,
            "group": dataset.assignments[sample.pattern_id].group,
            "in_parquet": sample.id in dataset.trainable,
        }
        for sample in dataset.synthesis.samples
    }


def _write_samples(dataset: _Dataset, destination: Path) -> None:
    samples, system_prompt = dataset.synthesis.samples, dataset.system_prompt
    write_jsonl(
        destination / "qi-patterns.jsonl", [pattern_record(pattern) for pattern in dataset.patterns]
    )
    _write_list(destination / "qi-patterns-alpaca.json", [alpaca_record(s) for s in samples])
    _write_list(
        destination / "qi-conversations.json",
        [conversation_record(sample, system_prompt) for sample in samples],
    )
    for split in ("train", "validation"):
        records = [
            prompt_completion_record(sample, dataset.assignments[sample.pattern_id], system_prompt)
            for sample in dataset.rows_of(split)
        ]
        write_bytes(destination / f"{split}.parquet", _parquet_bytes(records))


def _write_list(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write a JSON list whose objects keep the key order of the format's own documentation."""
    write_text(path, json.dumps(records, indent=2, ensure_ascii=False) + "\n")


def _parquet_bytes(records: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("group", pa.string()),
            ("prompt", messages),
            ("completion", messages),
        ]
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), sink)
    return bytes(sink.getvalue())
