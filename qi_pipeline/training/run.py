"""Start a training process and name what it will make.

Flows in: dataset version, preset, base model. Flows out: the adapter's key, its specification file
and, from a terminal, the adapter directory. The Dagster layer runs `training_command` through
Pipes instead. Nothing here imports torch.
"""

import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from qi_pipeline.artefacts import content_hash, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.base_model import BaseModel
from qi_pipeline.training.presets import Preset
from qi_pipeline.training.spec import TrainingSpec, read_spec

_LAST_LINES = 15


def adapter_key(datasets_hash: str, preset: Preset, base_model: BaseModel) -> str:
    """Return the SHA-256 of everything that decides the adapter.

    That is the datasets' version, every hyperparameter with the seed, and the base model's
    revision; not the preset's name, and not the number of threads.
    """
    hyperparameters = preset.hyperparameters()
    # The revision says which base it is; the reference only says where it was found.
    del hyperparameters["base_model"]
    return content_hash(
        {
            "datasets": datasets_hash,
            "hyperparameters": hyperparameters,
            "base_model": base_model.revision,
        }
    )


def write_spec(
    path: Path,
    *,
    datasets_dir: Path,
    base_model_dir: Path,
    output_dir: Path,
    preset: Preset,
    threads: int | None = None,
) -> Path:
    """Write the specification of one training run; return `path`."""
    spec = TrainingSpec(
        datasets_dir=datasets_dir.resolve(),
        base_model_dir=base_model_dir.resolve(),
        output_dir=output_dir.resolve(),
        preset=preset,
        threads=threads,
    )
    return write_text(path, spec.model_dump_json(indent=2) + "\n")


def training_command(spec_path: Path, python: Path | None = None) -> list[str]:
    """Return the command that trains as the specification says, with another `python` if given."""
    return [str(python or sys.executable), "-m", "qi_pipeline.training.process", str(spec_path)]


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def train_adapter(spec_path: Path, show: Callable[[str], None] = _print_line) -> Path:
    """Train in a process of its own, passing its lines to `show`; return the adapter directory.

    An adapter that is already there is returned at once. Raises QiPipelineError with the last lines
    of the process when it fails; no adapter directory is left then.
    """
    output_dir = read_spec(spec_path).output_dir
    if output_dir.is_dir():
        return output_dir
    last_lines: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        training_command(spec_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            last_lines.append(line.rstrip())
            show(line.rstrip())
    if process.returncode != 0:
        raise QiPipelineError(
            f"training stopped with status {process.returncode}; its last lines:\n"
            + "\n".join(last_lines)
        )
    return output_dir
