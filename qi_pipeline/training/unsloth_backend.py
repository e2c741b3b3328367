"""The Unsloth backend: the same job and the same outputs, on CUDA, in an environment of its own.

Unsloth needs trl <= 0.24 and an older transformers and torch, so it is installed apart and entered
by starting the training process with that environment's interpreter. Flows in: a `TrainingJob` and
its tokenizer. Flows out: a trainer. Importing this module imports Unsloth, which has to come before
transformers, TRL and PEFT because it patches them.
"""

from typing import Any

from unsloth import FastLanguageModel  # type: ignore[import-not-found]  # isort: skip

import torch
from datasets import Dataset
from torch.utils.data import Sampler, SequentialSampler
from transformers import PreTrainedTokenizerBase
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from qi_pipeline.training.backend import TrainingJob, trainer_arguments

PACKAGES = ("torch", "transformers", "trl", "peft", "unsloth")

# Unsloth's kernels are per module name; it does not know PEFT's "all-linear".
_ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class OrderedTrainer(SFTTrainer):
    """SFTTrainer that keeps the planned order; the loss is Unsloth's."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(rows)


def build_trainer(job: TrainingJob, tokenizer: PreTrainedTokenizerBase) -> OrderedTrainer:
    """Return the trainer of the job; its adapter is initialized from the preset's seed."""
    preset = job.preset
    model: Any
    model, _ = FastLanguageModel.from_pretrained(
        model_name=str(job.base_model_dir),
        max_seq_length=preset.max_length,
        dtype=torch.bfloat16 if job.precision == "bfloat16" else torch.float16,
        load_in_4bit=preset.base_quantization == "nf4",
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=preset.lora_r,
        lora_alpha=preset.lora_alpha,
        lora_dropout=preset.lora_dropout,
        target_modules=list(_ALL_LINEAR)
        if preset.target_modules == "all-linear"
        else list(preset.target_modules),
        use_gradient_checkpointing="unsloth",
        random_state=preset.seed,
    )
    half = job.precision != "bfloat16"
    return OrderedTrainer(
        model=model,
        args=SFTConfig(**{**trainer_arguments(job), "fp16": half}),
        train_dataset=Dataset.from_list(job.records()),
        processing_class=tokenizer,
    )
