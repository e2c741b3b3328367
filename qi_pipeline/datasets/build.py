"""Write the training files of one set of validated patterns.

Flows in: `ValidatedPattern` rows, a profile, the snapshot they come from, the fix pairs of its
history and the tasks that a model will be measured on. Flows out: a folder with every format, the
split manifest, the overlaps with the tasks, the card and the counts. The same rows, pairs and tasks
in any order give the same bytes. Naming the folder and renaming it into place is the caller's part,
through `artefacts.build_directory` and `datasets_key`.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from qi_pipeline.artefacts import (
    content_hash,
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)
from qi_pipeline.datasets.card import render_card
from qi_pipeline.datasets.contamination import (
    OverlapReport,
    OverlapRow,
    SampleText,
    TaskText,
    find_overlaps,
)
from qi_pipeline.datasets.fix_pairs import FixPair
from qi_pipeline.datasets.formats import (
    alpaca_record,
    characters_of,
    conversation_record,
    pattern_record,
    prompt_completion_record,
)
from qi_pipeline.datasets.phrasings import PHRASINGS
from qi_pipeline.datasets.reference import read_reference
from qi_pipeline.datasets.samples import PARQUET_KINDS, TASK_KINDS, Sample, TaskKind
from qi_pipeline.datasets.splits import Assignment, Split, SplitItem, assign_splits
from qi_pipeline.datasets.summary import DatasetSummary, count_rejections, count_values
from qi_pipeline.datasets.synthesis import Synthesis, synthesize_samples
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import Profile
from qi_pipeline.recognition.duplicates import cluster_near_duplicates
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.validation.verdict import ValidatedPattern

FORMAT_VERSION: Final = 3
"""To be raised when equal rows give other files, so that folders of the old form are not reused."""
DEFAULT_VALIDATION_FRACTION: Final = 0.1
DEFAULT_SEED: Final = 42
DEFAULT_MAX_CHARACTERS: Final = 3600
"""About 1,200 tokens of TypeScript at three characters each."""
_PAIR_TYPE: Final = "fix_pair"
"""What stands for a pattern type in the counts of fix pairs."""


@dataclass(frozen=True)
class _Options:
    validation_fraction: float
    seed: int
    max_characters: int
    max_phrasings: int


@dataclass(frozen=True)
class _Dataset:
    """All that the files are written from."""

    patterns: tuple[Pattern, ...]
    fix_pairs: tuple[FixPair, ...]
    synthesis: Synthesis
    assignments: Mapping[str, Assignment]
    """Id of a pattern or fix pair to split and group."""
    trainable: frozenset[str]
    """Ids of the samples that belong in the parquet files: of a kind that is trained on, and short
    enough."""
    test_cases: frozenset[str]
    """Ids of the patterns that are test cases or stand among them."""
    system_prompt: str
    overlaps: OverlapReport

    @property
    def exported(self) -> list[Pattern]:
        """The patterns that overlap with no task."""
        overlapping = {row.sample for row in self.overlaps.patterns}
        return [pattern for pattern in self.patterns if pattern.id not in overlapping]

    def types(self) -> dict[str, str]:
        """Return the id of each pattern and fix pair to the type that splits are balanced over."""
        types: dict[str, str] = {pattern.id: pattern.type for pattern in self.patterns}
        return {**types, **{pair.id: _PAIR_TYPE for pair in self.fix_pairs}}

    def rows_of(self, split: Split) -> list[Sample]:
        """Return the samples of one parquet file."""
        return [
            sample
            for sample in self.synthesis.samples
            if sample.id in self.trainable and self.assignments[sample.origin].split == split
        ]


def datasets_key(
    rows: Iterable[ValidatedPattern],
    profile: Profile,
    fix_pairs: Iterable[FixPair] = (),
    *,
    tasks: Iterable[TaskText] = (),
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
            "fix_pairs": [pair.model_dump(mode="json") for pair in _ordered(fix_pairs)],
            "tasks": [asdict(task) for task in _sorted_tasks(tasks)],
            "profile": profile.model_dump(mode="json"),
            "options": [validation_fraction, seed, max_characters, max_phrasings],
        }
    )


def build_datasets(  # noqa: PLR0913 - what to build from, and the options of the build
    rows: Iterable[ValidatedPattern],
    profile: Profile,
    snapshot: Snapshot,
    destination: Path,
    fix_pairs: Iterable[FixPair] = (),
    *,
    tasks: Iterable[TaskText] = (),
    validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
    seed: int = DEFAULT_SEED,
    max_characters: int = DEFAULT_MAX_CHARACTERS,
    max_phrasings: int = len(PHRASINGS),
) -> DatasetSummary:
    """Write every file of the data set into the folder `destination` and return the counts.

    Only usable rows become samples; rejected ones are counted by reason. Samples and patterns that
    overlap with one of the `tasks` (see `contamination`) are left out of every file and counted.
    Samples of more than `max_characters` (prompt and answer) are left out of the parquet files and
    counted.

    Raises QiPipelineError when an id occurs twice, when the snapshot is not the one that the rows
    come from, or when fewer than two patterns, or nothing that is not a near-duplicate of the rest,
    are left to train on.
    """
    rows = sorted(rows, key=lambda row: row.pattern.id)
    settings = _Options(validation_fraction, seed, max_characters, max_phrasings)
    dataset = _assemble(
        rows, profile, snapshot, _ordered(fix_pairs), _sorted_tasks(tasks), settings
    )
    summary = _summarize(dataset, rows)
    options = asdict(settings)
    destination.mkdir(parents=True, exist_ok=True)
    _write_samples(dataset, destination)
    write_json(destination / "splits.json", {"options": options, "samples": _manifest(dataset)})
    write_json(destination / "overlaps.json", dataset.overlaps.model_dump(mode="json"))
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


def read_overlaps(directory: Path) -> OverlapReport:
    """Return what a data set written earlier had in common with the tasks.

    Raises QiPipelineError when `directory` holds none.
    """
    path = directory / "overlaps.json"
    if not path.is_file():
        raise QiPipelineError(
            f"{directory} holds no data set (no overlaps.json); run `qi datasets`"
        )
    return OverlapReport.model_validate_json(path.read_bytes())


def _sorted_tasks(tasks: Iterable[TaskText]) -> list[TaskText]:
    return sorted(tasks, key=lambda task: task.id)


def _ordered(fix_pairs: Iterable[FixPair]) -> list[FixPair]:
    return sorted(fix_pairs, key=lambda pair: pair.id)


def _assemble(
    rows: Sequence[ValidatedPattern],
    profile: Profile,
    snapshot: Snapshot,
    fix_pairs: Sequence[FixPair],
    tasks: Sequence[TaskText],
    options: _Options,
) -> _Dataset:
    kept = [row for row in rows if row.usable]
    _refuse_repeated([row.pattern.id for row in rows] + [pair.id for pair in fix_pairs])
    _refuse_too_few(kept, rows)
    patterns = tuple(row.pattern for row in kept)
    synthesis = synthesize_samples(
        patterns,
        profile,
        read_reference(snapshot, profile, patterns),
        fix_pairs=fix_pairs,
        max_phrasings=options.max_phrasings,
    )
    overlaps = _overlaps(tasks, patterns, synthesis.samples)
    synthesis = replace(synthesis, samples=_without(synthesis.samples, overlaps.overlaps))
    tests = frozenset(p.id for p in patterns if p.source_kind == "test")
    modules = [s for s in synthesis.samples if s.kind in PARQUET_KINDS and s.origin not in tests]
    trainable = frozenset(
        sample.id
        for sample in modules
        if characters_of(sample, profile.system_prompt) <= options.max_characters
    )
    if not trainable:
        raise QiPipelineError(
            f"none of {len(synthesis.samples)} samples can be trained on: "
            f"{len(synthesis.samples) - len(modules)} are test cases or explanations and "
            f"{len(modules)} are longer than max_characters = {options.max_characters} "
            f"({overlaps.removed} more overlap with a task)"
        )
    assignments = assign_splits(
        _split_items(kept, fix_pairs, synthesis.samples, trainable),
        validation_fraction=options.validation_fraction,
        seed=options.seed,
    )
    return _Dataset(
        patterns,
        tuple(fix_pairs),
        synthesis,
        assignments,
        trainable,
        tests,
        profile.system_prompt,
        overlaps,
    )


def _overlaps(
    tasks: Sequence[TaskText], patterns: Sequence[Pattern], samples: Sequence[Sample]
) -> OverlapReport:
    ids = {sample.id for sample in samples}
    rows: list[OverlapRow] = []
    texts = [*map(sample_text, samples), *map(_pattern_text, patterns)]
    # What was a common phrase may be one no longer without the texts that are left out.
    while found := find_overlaps(tasks, texts):
        rows += found
        overlapping = {row.sample for row in found}
        texts = [text for text in texts if text.id not in overlapping]
    rows.sort(key=lambda row: (row.task_id, row.sample))
    overlaps = tuple(row for row in rows if row.sample in ids)
    return OverlapReport(
        tasks=len(tasks),
        samples=len(samples),
        removed=len({row.sample for row in overlaps}),
        overlaps=overlaps,
        patterns=tuple(row for row in rows if row.sample not in ids),
    )


def remaining_overlaps(directory: Path, tasks: Iterable[TaskText]) -> tuple[OverlapRow, ...]:
    """Return what a data set written earlier still has in common with tasks, by its files alone.

    Nothing, unless the tasks are others than those that it was built with. Conversations hold every
    sample of the parquet files. Raises QiPipelineError when `directory` holds no data set.
    """
    read_overlaps(directory)
    conversations = json.loads((directory / "qi-conversations.json").read_text("utf-8"))
    samples = [_conversation_text(row["id"], row["messages"]) for row in conversations]
    patterns = [
        _pattern_text(Pattern.model_validate(row))
        for row in read_jsonl(directory / "qi-patterns.jsonl")
    ]
    return find_overlaps(_sorted_tasks(tasks), [*samples, *patterns])


def _conversation_text(name: str, messages: Sequence[Mapping[str, str]]) -> SampleText:
    """Return a sample by what was written of it; its answer stands in a block of the prompt."""
    said = "\n\n".join(turn["content"] for turn in messages if turn["role"] != "system")
    return SampleText(name, said, "", name.rpartition("-")[0])


def sample_text(sample: Sample) -> SampleText:
    """Return what of a sample is compared with tasks: an explanation is prose, not code."""
    if sample.kind == "explain":
        return SampleText(sample.id, f"{sample.prompt}\n\n{sample.answer}", "", sample.origin)
    return SampleText(sample.id, sample.prompt, sample.answer, sample.origin)


def _pattern_text(pattern: Pattern) -> SampleText:
    return SampleText(pattern.id, pattern.instruction, pattern.implementation, pattern.id)


def _without(samples: Sequence[Sample], overlaps: Iterable[OverlapRow]) -> tuple[Sample, ...]:
    overlapping = {row.sample for row in overlaps}
    return tuple(sample for sample in samples if sample.id not in overlapping)


def _refuse_repeated(ids: Sequence[str]) -> None:
    twice = sorted(name for name, count in count_values(ids).items() if count > 1)
    if twice:
        raise QiPipelineError(f"ids occur twice: {', '.join(twice)}; extract again")


def _refuse_too_few(kept: Sequence[ValidatedPattern], rows: Sequence[ValidatedPattern]) -> None:
    if len(kept) < 2:  # noqa: PLR2004
        reasons = ", ".join(f"{reason} ({n})" for reason, n in count_rejections(rows).items())
        raise QiPipelineError(
            f"{len(kept)} of {len(rows)} patterns were kept, but training needs at least 2, one of "
            f"them held out; rejected because of: {reasons or 'nothing (there were no patterns)'}"
        )


def _split_items(
    kept: Sequence[ValidatedPattern],
    fix_pairs: Sequence[FixPair],
    samples: Sequence[Sample],
    trainable: frozenset[str],
) -> list[SplitItem]:
    counts = count_values(sample.origin for sample in samples if sample.id in trainable)
    ties = _ties(kept, fix_pairs, samples)
    patterns = [
        SplitItem(
            id=row.pattern.id,
            source_file=row.pattern.metadata.source_file,
            container=row.pattern.container,
            duplicate_cluster=row.duplicate_cluster,
            type=row.pattern.type,
            samples=counts.get(row.pattern.id, 0),
            ties=tuple(sorted(ties[row.pattern.id])),
        )
        for row in kept
    ]
    pairs = [
        SplitItem(
            id=pair.id,
            source_file=f"history of {pair.source_file}",
            container=pair.container,
            duplicate_cluster=pair.id,
            type=_PAIR_TYPE,
            samples=counts.get(pair.id, 0),
            ties=tuple(sorted(ties[pair.id])),
        )
        for pair in fix_pairs
    ]
    return patterns + pairs


def _ties(
    kept: Sequence[ValidatedPattern], fix_pairs: Sequence[FixPair], samples: Sequence[Sample]
) -> dict[str, set[str]]:
    """Return the id of each pattern and fix pair to what must keep it on one side with others.

    Pairs of one commit tell the same story, and so do all versions of one declaration, the present
    one included; code that is nearly the same is tied wherever it stands, and a test to the unit
    that its question shows.
    """
    ties: defaultdict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.shown is not None:
            ties[sample.origin].add(f"unit {sample.shown}")
            ties[sample.shown].add(f"unit {sample.shown}")
    if not fix_pairs:
        return ties
    for row in kept:
        ties[row.pattern.id].add(
            _declaration(row.pattern.metadata.source_file, row.pattern.container)
        )
    owners = {f"pattern {row.pattern.id}": row.pattern.id for row in kept}
    texts = {f"pattern {row.pattern.id}": row.pattern.implementation for row in kept}
    for pair in fix_pairs:
        ties[pair.id].add(f"commit {pair.commit}")
        ties[pair.id].add(_declaration(pair.source_file, pair.container))
        for side, text in (("before", pair.before), ("after", pair.after)):
            owners[f"{side} {pair.id}"] = pair.id
            texts[f"{side} {pair.id}"] = text
    for key, cluster in cluster_near_duplicates(texts).items():
        ties[owners[key]].add(f"near {cluster}")
    return ties


def _declaration(source_file: str, container: str) -> str:
    """Return what a declaration is known by in every layout of the repository."""
    return f"declaration {PurePosixPath(source_file).name} {container}"


def _summarize(dataset: _Dataset, rows: Sequence[ValidatedPattern]) -> DatasetSummary:
    patterns, samples = dataset.exported, dataset.synthesis.samples
    types = dataset.types()
    train, validation = dataset.rows_of("train"), dataset.rows_of("validation")
    test_cases = sum(sample.origin in dataset.test_cases for sample in samples)
    explanations = sum(sample.kind == "explain" for sample in samples)
    groups = count_values(
        dataset.assignments[sample.origin].group for sample in [*train, *validation]
    )
    return DatasetSummary(
        patterns=len(patterns),
        rejected_patterns=len(rows) - len(dataset.patterns),
        rejection_reasons=count_rejections(rows),
        patterns_by_type=count_values(pattern.type for pattern in patterns),
        patterns_by_category=count_values(pattern.category for pattern in patterns),
        patterns_by_source_kind=count_values(pattern.source_kind for pattern in patterns),
        fix_pairs=len(dataset.fix_pairs),
        samples=len(samples),
        samples_by_kind=_count_kinds(samples),
        samples_by_phrasing=count_values(sample.phrasing for sample in samples),
        ambiguous=dataset.synthesis.ambiguous,
        repeated=dataset.synthesis.repeated,
        leaking=dataset.synthesis.leaking,
        tasks=dataset.overlaps.tasks,
        overlapping=dataset.overlaps.removed,
        overlapping_patterns=len(dataset.patterns) - len(patterns),
        test_cases=test_cases,
        explanations=explanations,
        too_long=len(samples) - test_cases - explanations - len(dataset.trainable),
        train=len(train),
        validation=len(validation),
        train_by_kind=_count_kinds(train),
        validation_by_kind=_count_kinds(validation),
        train_by_type=count_values(types[sample.origin] for sample in train),
        validation_by_type=count_values(types[sample.origin] for sample in validation),
        groups=len({assignment.group for assignment in dataset.assignments.values()}),
        largest_group=max(groups.values()),
        data_version=_data_version(dataset),
    )


def _count_kinds(samples: Iterable[Sample]) -> dict[TaskKind, int]:
    """Return kind to number of samples, in the order of the kinds; kinds without any at 0."""
    counts = Counter(sample.kind for sample in samples)
    return {kind: counts[kind] for kind in TASK_KINDS}


def _data_version(dataset: _Dataset) -> str:
    return content_hash(
        {
            "system_prompt": dataset.system_prompt,
            "samples": [
                [sample.id, sample.instruction, sample.given, sample.answer, place]
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
            "split": dataset.assignments[sample.origin].split,
            "group": dataset.assignments[sample.origin].group,
            "kind": sample.kind,
            "in_parquet": sample.id in dataset.trainable,
        }
        for sample in dataset.synthesis.samples
    }


def _write_samples(dataset: _Dataset, destination: Path) -> None:
    samples, system_prompt = dataset.synthesis.samples, dataset.system_prompt
    kinds = defaultdict(set)
    for sample in samples:
        kinds[sample.origin].add(sample.kind)
    write_jsonl(
        destination / "qi-patterns.jsonl",
        [pattern_record(pattern, kinds[pattern.id]) for pattern in dataset.exported],
    )
    _write_list(destination / "qi-patterns-alpaca.json", [alpaca_record(s) for s in samples])
    _write_list(
        destination / "qi-conversations.json",
        [conversation_record(sample, system_prompt) for sample in samples],
    )
    for split in ("train", "validation"):
        records = [
            prompt_completion_record(sample, dataset.assignments[sample.origin], system_prompt)
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
            ("kind", pa.string()),
            ("group", pa.string()),
            ("prompt", messages),
            ("completion", messages),
        ]
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), sink)
    return bytes(sink.getvalue())
