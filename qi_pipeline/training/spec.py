"""What a training process is told: one JSON file, written by the caller.

Flows in: paths and a preset. Flows out: a validated `TrainingSpec`. The seed is the preset's, so
that the adapter's key and its training cannot disagree about it.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.presets import Preset


class TrainingSpec(BaseModel):
    """One training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets_dir: Path
    """Holds train.parquet and validation.parquet: id, group, prompt, completion."""
    base_model_dir: Path
    """A Hugging Face folder."""
    output_dir: Path
    """The adapter; appears whole or not at all."""
    preset: Preset
    threads: int | None = Field(default=None, gt=0)
    """CPU threads; None means all cores that this process may use."""

    def thread_count(self) -> int:
        """Return the number of CPU threads to compute with."""
        return self.threads or len(os.sched_getaffinity(0))


def read_spec(path: Path) -> TrainingSpec:
    """Return the specification in the JSON file `path`.

    Raises QiPipelineError when the file is missing, names an unknown field, or names inputs that
    do not exist.
    """
    try:
        spec = TrainingSpec.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise QiPipelineError(f"no training specification at {path}") from error
    except ValidationError as error:
        raise QiPipelineError(f"{path} is not a training specification: {error}") from error
    for name in ("train.parquet", "validation.parquet"):
        if not (spec.datasets_dir / name).is_file():
            raise QiPipelineError(
                f"no {name} in {spec.datasets_dir}; materialize the datasets first"
            )
    if not (spec.base_model_dir / "config.json").is_file():
        raise QiPipelineError(
            f"{spec.base_model_dir} is not a Hugging Face model folder; "
            "make it with materialize_base_model"
        )
    return spec
