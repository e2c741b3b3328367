"""One training run from specification to adapter directory.

Flows in: a `TrainingSpec` and the backend that builds the trainer. Flows out: the adapter directory
with its log, curve, label preview and record. Order: encode, plan, build the trainer, prove the
labels, train, write. Imported by the training process only: it loads torch.
"""

import importlib.metadata
import itertools
import json
import math
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from transformers.utils import logging as transformers_logging

from qi_pipeline.artefacts import build_directory, write_json, write_jsonl
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.backend import TrainingJob, choose_device, choose_precision
from qi_pipeline.training.base_model import base_model_identity
from qi_pipeline.training.curve import write_loss_curve
from qi_pipeline.training.plan import Plan, choose_validation, plan_training
from qi_pipeline.training.progress import Progress
from qi_pipeline.training.rows import EncodedRow, EncodedRows, encode_rows, prove_labels, read_rows
from qi_pipeline.training.spec import TrainingSpec

_PROVEN_BATCHES = 8
_LINES_OF_PROGRESS = 40


@dataclass(frozen=True)
class _Data:
    train: EncodedRows
    validation: EncodedRows
    validation_used: list[EncodedRow]
    plan: Plan


@dataclass
class _Log:
    """The rows of training_log.jsonl as they come."""

    plan: Plan
    progress: Progress
    started: float = field(default_factory=time.monotonic)
    validation_seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        tokens = self.plan.tokens_after_step[step - 1]
        row = {"step": step, "loss": loss, "learning_rate": learning_rate, "tokens": tokens}
        self.rows.append({**row, "seconds": round(self.seconds(), 2)})
        every = max(1, self.plan.steps // _LINES_OF_PROGRESS)
        if step % every == 0 or step == self.plan.steps:
            self.progress.say(
                f"step {step}/{self.plan.steps}  loss {loss:.4f}  {tokens} tokens  "
                f"{self.seconds():.0f} s"
            )

    def validation(self, step: int, loss: float, epoch: int) -> None:
        row = {"step": step, "epoch": epoch, "validation_loss": loss}
        self.rows.append({**row, "seconds": round(self.seconds(), 2)})
        self.progress.say(f"validation loss {loss:.4f} after step {step}")

    def losses(self, name: str) -> list[float]:
        return [row[name] for row in self.rows if name in row]


def train(spec: TrainingSpec, backend: ModuleType, progress: Progress) -> dict[str, Any]:
    """Make `spec.output_dir`; return the record that its training.json holds.

    An adapter that is already there is left as it is. Raises QiPipelineError when the data cannot
    be trained on as it should, before the first step.
    """
    torch.set_num_threads(spec.thread_count())
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # One setting goes by its old name, which is the only one that both backends know.
    warnings.filterwarnings("ignore", "`gradient_checkpointing` is deprecated", FutureWarning)
    build_directory(spec.output_dir, lambda folder: _build(spec, backend, progress, folder))
    record: dict[str, Any] = json.loads((spec.output_dir / "training.json").read_text("utf-8"))
    return record


def _build(spec: TrainingSpec, backend: ModuleType, progress: Progress, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(spec.base_model_dir)
    tokenizer.padding_side = "right"
    data = _prepare_data(spec, tokenizer)
    _announce(data, progress)
    with tempfile.TemporaryDirectory(dir=folder, prefix="work-") as work:
        job = _make_job(spec, data, Path(work))
        trainer = backend.build_trainer(job, tokenizer)
        _prove_and_record(trainer, data, tokenizer, folder)
        log = _Log(data.plan, progress)
        _run(trainer, data, log)
    _save_adapter(trainer, tokenizer, spec, folder)
    write_jsonl(folder / "training_log.jsonl", log.rows)
    write_loss_curve(log.rows, folder / "loss.png")
    write_json(folder / "training.json", _record(spec, backend, job, data, log, trainer))


def _make_job(spec: TrainingSpec, data: _Data, work_dir: Path) -> TrainingJob:
    device = choose_device()
    return TrainingJob(
        base_model_dir=spec.base_model_dir,
        preset=spec.preset,
        rows=data.train.rows,
        plan=data.plan,
        device=device,
        precision=choose_precision(spec.preset, device),
        work_dir=work_dir,
    )


def _prepare_data(spec: TrainingSpec, tokenizer: PreTrainedTokenizerBase) -> _Data:
    limit = spec.preset.max_length
    train_rows, validation_rows = (
        encode_rows(read_rows(spec.datasets_dir / name), tokenizer, limit)
        for name in ("train.parquet", "validation.parquet")
    )
    return _Data(
        train=train_rows,
        validation=validation_rows,
        validation_used=choose_validation(validation_rows.rows, spec.preset)
        if validation_rows.rows
        else [],
        plan=plan_training(train_rows.rows, spec.preset),
    )


def _announce(data: _Data, progress: Progress) -> None:
    plan = data.plan
    progress.say(
        f"{len(data.train.rows)} rows, {data.train.tokens} tokens; "
        f"training on {plan.tokens} tokens in {plan.steps} steps"
    )
    if data.train.truncated or data.train.without_room or plan.unused_rows:
        progress.say(
            f"{data.train.truncated} rows cut to the maximum length, "
            f"{len(data.train.without_room)} left out because their prompt fills it, "
            f"{plan.unused_rows} not reached by the token budget"
        )


def _prove_and_record(
    trainer: Any, data: _Data, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    batches = itertools.islice(iter(trainer.get_train_dataloader()), _PROVEN_BATCHES)
    write_json(folder / "label_preview.json", prove_labels(batches, data.train.rows, tokenizer))


class _Watch(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Log every optimizer step and validate after every epoch."""

    def __init__(self, trainer: Any, data: _Data, log: _Log) -> None:
        self._trainer, self._data, self._log = trainer, data, log

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        logs: dict[str, Any] = kwargs["logs"]
        if "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise QiPipelineError(
                f"the loss is {loss} after step {state.global_step}; lower the learning rate"
            )
        self._log.step(state.global_step, loss, float(logs["learning_rate"]))
        ends = self._data.plan.epoch_ends
        if state.global_step in ends:
            epoch = ends.index(state.global_step) + 1
            _validate(self._trainer, self._data, self._log, state.global_step, epoch)


def _run(trainer: Any, data: _Data, log: _Log) -> None:
    _validate(trainer, data, log, step=0, epoch=0)
    # Its own lines would repeat ours in another shape.
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Watch(trainer, data, log))
    trainer.train()


def _validate(trainer: Any, data: _Data, log: _Log, step: int, epoch: int) -> None:
    if not data.validation_used:
        return
    started = time.monotonic()
    log.validation(step, _validation_loss(trainer, data.validation_used), epoch)
    log.validation_seconds += time.monotonic() - started


def _validation_loss(trainer: Any, rows: Sequence[EncodedRow]) -> float:
    """Return the mean negative log-likelihood per labelled token, every token weighing the same."""
    model = trainer.model
    model.eval()
    total = 0.0
    # One item "in the batch" turns the trainer's mean into a sum.
    one = torch.tensor(1, device=model.device)
    size = trainer.args.per_device_train_batch_size
    with torch.no_grad():
        for start in range(0, len(rows), size):
            records = [
                {"input_ids": list(row.input_ids), "labels": list(row.labels)}
                for row in rows[start : start + size]
            ]
            batch = trainer.data_collator(records)
            inputs = {name: value.to(model.device) for name, value in batch.items()}
            total += float(trainer.compute_loss(model, inputs, num_items_in_batch=one))
    model.train()
    return total / sum(len(row.input_ids) - row.prompt_length for row in rows)


def _save_adapter(
    trainer: Any, tokenizer: PreTrainedTokenizerBase, spec: TrainingSpec, folder: Path
) -> None:
    # The adapter travels: it names its base by what it is, not by where it lay.
    name, _ = base_model_identity(spec.base_model_dir)
    for configuration in trainer.model.peft_config.values():
        configuration.base_model_name_or_path = name
    trainer.model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)


def _record(
    spec: TrainingSpec, backend: ModuleType, job: TrainingJob, data: _Data, log: _Log, trainer: Any
) -> dict[str, Any]:
    losses, validation = log.losses("loss"), log.losses("validation_loss")
    tenth = max(1, len(losses) // 10)
    seconds = log.seconds()
    base_name, base_revision = base_model_identity(spec.base_model_dir)
    return {
        "preset": spec.preset.name,
        "hyperparameters": spec.preset.hyperparameters(),
        "base_model": base_name,
        "base_model_revision": base_revision,
        "device": job.device,
        "dtype": job.precision,
        "threads": spec.thread_count(),
        "train_rows": len(data.train.rows),
        "train_tokens_per_epoch": data.train.tokens,
        "truncated_rows": data.train.truncated,
        "rows_without_room": list(data.train.without_room),
        "rows_beyond_budget": data.plan.unused_rows,
        "validation_rows": len(data.validation.rows),
        "validation_rows_used": len(data.validation_used),
        "steps": data.plan.steps,
        "tokens": data.plan.tokens,
        "padding_tokens": data.plan.padding,
        "epochs": round(data.plan.tokens / data.train.tokens, 3),
        "trainable_parameters": sum(
            parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad
        ),
        # A single step's loss is noise; a tenth of the run is a level.
        "first_loss": sum(losses[:tenth]) / tenth,
        "final_loss": sum(losses[-tenth:]) / tenth,
        "first_validation_loss": validation[0] if validation else None,
        "final_validation_loss": validation[-1] if validation else None,
        "seconds": round(seconds, 1),
        "validation_seconds": round(log.validation_seconds, 1),
        "tokens_per_second": round(data.plan.tokens / (seconds - log.validation_seconds), 1),
        "versions": {name: importlib.metadata.version(name) for name in backend.PACKAGES},
    }
