"""The training process: `python -m qi_pipeline.training.process SPEC.json`.

Flows in: a `TrainingSpec`. Flows out: the adapter directory, and progress to whoever started the
process. Exit status 2 and a plain message on standard error for what a person can mend. Dagster is
not imported here; this module may run on a machine that has none.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.processes import end_with_parent, silence_library_notices
from qi_pipeline.training.presets import Preset
from qi_pipeline.training.progress import open_progress
from qi_pipeline.training.spec import TrainingSpec, read_spec


def load_backend(preset: Preset) -> ModuleType:
    """Import the preset's backend, before anything else imports transformers.

    Raises QiPipelineError when the backend, or the GPU it needs, is not there.
    """
    if preset.backend == "unsloth":
        _require_unsloth(preset)
    return importlib.import_module(f"qi_pipeline.training.{preset.backend}_backend")


def _require_unsloth(preset: Preset) -> None:
    mend = "choose a preset with backend 'trl' (embedded, laptop), or train on a GPU machine"
    if importlib.util.find_spec("unsloth") is None:
        raise QiPipelineError(
            f"preset {preset.name!r} needs Unsloth, which is not in this environment and cannot "
            f"share it; install it in an environment of its own and start training there, or {mend}"
        )
    import torch  # noqa: PLC0415 - heavy

    if not torch.cuda.is_available():
        raise QiPipelineError(
            f"preset {preset.name!r} needs a CUDA device and PyTorch sees none; {mend}"
        )


def _limit_threads(spec: TrainingSpec) -> None:
    # Read when the native libraries load, so it has to be set before torch is imported.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(spec.thread_count())
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Everything is on this disk by now; a slow or missing network must not be asked.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def main(arguments: list[str]) -> int:
    """Train as the specification says; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m qi_pipeline.training.process SPEC.json\n")
        return 2
    try:
        end_with_parent()
        silence_library_notices()
        spec = read_spec(Path(arguments[0]))
        _limit_threads(spec)
        with open_progress() as progress:
            backend = load_backend(spec.preset)
            session = importlib.import_module("qi_pipeline.training.session")
            progress.finish(session.train(spec, backend, progress))
    except QiPipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
