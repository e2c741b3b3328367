"""What both training backends share: the job, the device, the arguments, the fixed order.

Flows in: a `TrainingJob`. Flows out: arguments that TRL 0.24 (which Unsloth needs) and TRL 1.16
both accept. What a backend alone does belongs to `trl_backend` and `unsloth_backend`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qi_pipeline.training.plan import Plan
from qi_pipeline.training.presets import Preset
from qi_pipeline.training.rows import EncodedRow

_CPU_INFORMATION = Path("/proc/cpuinfo")

Device = Literal["cpu", "cuda"]
Precision = Literal["bfloat16", "float32"]


@dataclass(frozen=True)
class TrainingJob:
    """Everything a backend needs to build its trainer."""

    base_model_dir: Path
    preset: Preset
    rows: tuple[EncodedRow, ...]
    plan: Plan
    device: Device
    precision: Precision
    work_dir: Path
    """A folder for whatever the trainer writes on its own; nothing in it is kept."""

    def records(self) -> list[dict[str, list[int]]]:
        """Return the rows in training order, as the trainer takes them."""
        return [
            {"input_ids": list(row.input_ids), "labels": list(row.labels)}
            for row in (self.rows[index] for index in self.plan.order)
        ]


def choose_device() -> Device:
    """Return `cuda` when PyTorch sees a GPU, else `cpu`."""
    import torch  # noqa: PLC0415 - heavy

    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_precision(preset: Preset, device: Device) -> Precision:
    """Return the preset's dtype; `auto` is bfloat16 where the hardware multiplies in it.

    A processor without AVX512-BF16 or AMX emulates bfloat16 and is slower than in float32.
    """
    if preset.dtype != "auto":
        return preset.dtype
    if device == "cuda":
        import torch  # noqa: PLC0415 - heavy

        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if _cpu_has_bfloat16(_CPU_INFORMATION) else "float32"


def _cpu_has_bfloat16(cpu_information: Path) -> bool:
    if not cpu_information.is_file():
        return False
    flags = set(cpu_information.read_text(encoding="utf-8", errors="replace").split())
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def trainer_arguments(job: TrainingJob) -> dict[str, Any]:
    """Return the arguments of `SFTConfig` for the job.

    The rows arrive tokenized, cut, labelled and in order, so the trainer prepares nothing, drops
    nothing and shuffles nothing; validation and saving are done by `session`.
    """
    preset = job.preset
    return {
        "output_dir": str(job.work_dir),
        "num_train_epochs": 1,
        "per_device_train_batch_size": preset.micro_batch,
        "gradient_accumulation_steps": preset.accumulation,
        "learning_rate": preset.learning_rate,
        "lr_scheduler_type": preset.learning_rate_schedule,
        "warmup_steps": min(preset.warmup_steps, job.plan.steps // 4),
        "weight_decay": preset.weight_decay,
        "max_grad_norm": preset.max_gradient_norm,
        "optim": "adamw_torch",
        "seed": preset.seed,
        "data_seed": preset.seed,
        "bf16": job.precision == "bfloat16",
        "fp16": False,
        "use_cpu": job.device == "cpu",
        "gradient_checkpointing": False,
        "max_length": None,
        "packing": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "logging_strategy": "steps",
        "logging_steps": 1,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": job.device == "cuda",
    }
