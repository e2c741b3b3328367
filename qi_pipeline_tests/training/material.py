"""What the training and export tests share: a small dataset, the base model folder, one adapter.

The fixtures around it stand in the conftest above both folders.
"""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qi_pipeline.training.base_model import materialize_base_model
from qi_pipeline.training.presets import load_preset
from qi_pipeline.training.run import train_adapter, training_command, write_spec

BASE_MODEL = load_preset("tiny").base_model
SYSTEM_PROMPT = "You write TypeScript."
THREADS = 2 if os.getloadavg()[0] < 1 else 1


def module_text(number: int, functions: int = 2) -> str:
    """Return a small TypeScript module in one fenced block."""
    body = "\n".join(
        f"export const half{number}x{k} = (n: number): Result<number> =>\n"
        f"  n % {number + 2} === 0 ? success(n / {k + 2}) : failure(validationError('odd {k}'));"
        for k in range(functions)
    )
    imports = "import { failure, success, validationError, type Result } from '@qi/base';"
    return f"```typescript\n{imports}\n\n{body}\n```"


def row(number: int, functions: int = 2) -> dict[str, Any]:
    """Return one prompt-completion row."""
    return {
        "id": f"row-{number}",
        "group": f"group-{number % 3}",
        "prompt": [
            {"role": "system", "content": SYSTEM_PROMPT},
            {"role": "user", "content": f"Halve a number, variant {number}."},
        ],
        "completion": [{"role": "assistant", "content": module_text(number, functions)}],
    }


def write_datasets(directory: Path, train: list[dict[str, Any]]) -> Path:
    """Write train.parquet and a validation.parquet of two rows; return `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(train), directory / "train.parquet")
    pq.write_table(pa.Table.from_pylist([row(90, 1), row(91, 1)]), directory / "validation.parquet")
    return directory


def make_base_model(factory: pytest.TempPathFactory) -> Path:
    """Return the base model's folder, from its GGUF."""
    return materialize_base_model(BASE_MODEL, factory.mktemp("base-models"))


@dataclass(frozen=True)
class TrainedAdapter:
    """An adapter whose first training was killed."""

    directory: Path
    datasets_dir: Path
    left_by_the_killed_run: list[str]
    lines: list[str]


def train_after_a_kill(root: Path, base_model_dir: Path) -> TrainedAdapter:
    """Start training, kill it after its first step, then train to the end."""
    datasets = write_datasets(root / "datasets", [row(0, 8), *(row(k, 1) for k in range(1, 10))])
    output = root / "adapters" / "first"
    spec = write_spec(
        root / "spec.json",
        datasets_dir=datasets,
        base_model_dir=base_model_dir,
        output_dir=output,
        preset=load_preset("tiny"),
        threads=THREADS,
    )
    _kill_after_first_step(spec)
    left = sorted(path.name for path in output.parent.iterdir())
    lines: list[str] = []
    train_adapter(spec, lines.append)
    return TrainedAdapter(output, datasets, left, lines)


def _kill_after_first_step(spec: Path) -> None:
    with subprocess.Popen(
        training_command(spec), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            if line.startswith("step 1/"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
