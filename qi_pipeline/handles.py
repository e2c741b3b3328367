"""What each asset hands to the next: paths and versions, never the data itself.

A handle is small enough to be kept as one JSON file and says where its artefact lies. Its methods
only read. Making artefacts belongs to `stages`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import pandas as pd
from pydantic import BaseModel, ConfigDict

from qi_pipeline.artefacts import file_hash, read_jsonl
from qi_pipeline.datasets.summary import DatasetSummary
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.records import ParityReport
from qi_pipeline.evaluation.report import EvaluationReport
from qi_pipeline.evaluation.selftest import SelfTest
from qi_pipeline.evolution.report import EvolutionReport
from qi_pipeline.evolution.write import PLOT, read_report
from qi_pipeline.extraction.pattern import Pattern, UntypedPattern
from qi_pipeline.recognition.records import RecognitionReport
from qi_pipeline.validation.verdict import ValidatedPattern


class _Handle(BaseModel):
    model_config = ConfigDict(frozen=True)


class PatternSet(_Handle):
    """The `patterns` asset, a folder.

    `patterns.jsonl`, `untyped.jsonl` (units of no known type), `calls.jsonl`, `left_out.jsonl` and
    `unreadable.json` with reasons, `extraction.json` with counts.
    """

    directory: Path
    data_version: str

    def unreadable(self) -> list[dict[str, Any]]:
        """Return `file`, `line` and `reason` of everything that could not be read."""
        text = (self.directory / "unreadable.json").read_text("utf-8")
        return cast("list[dict[str, Any]]", json.loads(text))

    def extraction(self) -> dict[str, Any]:
        """Return counts of calls, of units left out and of files reused and extracted."""
        text = (self.directory / "extraction.json").read_text("utf-8")
        return cast("dict[str, Any]", json.loads(text))

    def read(self) -> list[Pattern]:
        """Return the patterns, sorted by id."""
        return [Pattern.model_validate(r) for r in read_jsonl(self.directory / "patterns.jsonl")]

    def untyped(self) -> list[UntypedPattern]:
        """Return the units that use the library and show no known type, sorted by id."""
        rows = read_jsonl(self.directory / "untyped.jsonl")
        return [UntypedPattern.model_validate(row) for row in rows]


class ValidatedSet(_Handle):
    """The `validated_patterns` asset, a folder.

    `validated_patterns.jsonl`, `recognition.json`, and `map.png` and `confusion.png` of it.
    """

    directory: Path
    data_version: str

    def read(self) -> list[ValidatedPattern]:
        """Return every row, kept and rejected, sorted by pattern id."""
        rows = read_jsonl(self.directory / "validated_patterns.jsonl")
        return [ValidatedPattern.model_validate(row) for row in rows]

    @property
    def map(self) -> Path:
        """Picture of all units, near ones near each other."""
        return self.directory / "map.png"

    @property
    def confusion(self) -> Path:
        """Picture of syntactic against learned types."""
        return self.directory / "confusion.png"

    def recognition(self) -> RecognitionReport:
        """Return what the units resemble, and how far that can be trusted."""
        return read_recognition(self.directory)


RECOGNITION_FILES = ("recognition.json", "map.png", "confusion.png")
"""What recognition leaves in a folder."""


def read_recognition(folder: Path) -> RecognitionReport:
    """Return the recognition report of a folder."""
    return RecognitionReport.model_validate_json((folder / RECOGNITION_FILES[0]).read_bytes())


class EvolutionSet(_Handle):
    """The `pattern_evolution` asset: a folder as `evolution.write` describes it."""

    directory: Path
    data_version: str

    @property
    def plot(self) -> Path:
        """The trend plot."""
        return self.directory / PLOT

    def read(self) -> EvolutionReport:
        """Return the report."""
        return read_report(self.directory)


class DatasetSet(_Handle):
    """The `training_datasets` asset: a folder of datasets and what is in it."""

    directory: Path
    data_version: str
    summary: DatasetSummary

    def require_trainable(self) -> str:
        """Say how many groups each split holds.

        Raises QiPipelineError when a split is empty or a group stands in both.
        """
        groups = self.groups_by_split()
        shared = groups["train"] & groups["validation"]
        counts = (
            f"{len(groups['train'])} groups to train on, {len(groups['validation'])} held out, "
            f"{len(shared)} in both"
        )
        if not groups["train"] or not groups["validation"] or shared:
            raise QiPipelineError(
                f"the datasets in {self.directory} cannot be trained on: {counts}"
            )
        return counts

    def groups_by_split(self) -> dict[str, set[str]]:
        """Return the group names of `train` and `validation`, read from the parquet files."""
        splits = ("train", "validation")
        return {
            split: set(
                pd.read_parquet(self.directory / f"{split}.parquet", columns=["group"]).group
            )
            for split in splits
        }


class IndexState(_Handle):
    """The `pattern_index` asset."""

    location: str
    data_version: str
    count: int


class Adapter(_Handle):
    """The `lora_adapter` asset: a PEFT adapter directory with its training log."""

    directory: Path
    data_version: str
    preset: str
    base_model: str
    """The reference as given: wheel, file, folder or hub id."""
    base_model_dir: Path

    def record(self) -> dict[str, Any]:
        """Return what `training.json` says of the training."""
        return cast(
            "dict[str, Any]", json.loads((self.directory / "training.json").read_text("utf-8"))
        )


class Gguf(_Handle):
    """The `gguf_model` asset: `qi-expert.gguf`, `Modelfile` and `export.json` in a folder."""

    directory: Path
    data_version: str
    quantization: str
    base_model_dir: Path
    adapter_dir: Path | None
    """What was merged into the base model; None for the base model alone."""

    @property
    def model(self) -> Path:
        """The GGUF file."""
        return self.directory / "qi-expert.gguf"

    def digest(self) -> str:
        """Return the SHA-256 of the file as it lies on disk."""
        return file_hash(self.model)


class Evaluation(_Handle):
    """The `evaluation_report` asset, a folder.

    `report.html`, `report.json`, `results.jsonl`; `headline.json` for later evaluations;
    `parity.json` and `self_test.json` for the gate.
    """

    directory: Path
    data_version: str
    candidate: Gguf
    base: Gguf
    incumbent: str
    """Name of the arm that the candidate must not fall behind: `live`, or `base` at first."""

    def read(self) -> EvaluationReport:
        """Return the whole report."""
        text = (self.directory / "report.json").read_text("utf-8")
        return EvaluationReport.model_validate_json(text)

    def parity(self) -> ParityReport:
        """Return how the candidate's file compares with its adapter."""
        return ParityReport.model_validate_json((self.directory / "parity.json").read_bytes())

    def self_test(self) -> SelfTest:
        """Return what the instrument made of answers whose worth is known."""
        return SelfTest.model_validate_json((self.directory / "self_test.json").read_bytes())


Handle = TypeVar("Handle", bound=BaseModel)


@dataclass(frozen=True)
class Outcome(Generic[Handle]):
    """What a stage made, whether it had to, and figures worth showing."""

    handle: Handle
    reused: bool
    seconds: float
    figures: Mapping[str, Any] = field(default_factory=dict)
