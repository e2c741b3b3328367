"""The TRL backend: SFTTrainer with a PEFT LoRA, on a CPU or a CUDA device.

Flows in: a `TrainingJob` and its tokenizer. Flows out: a trainer that is ready to train. The loop,
the proof of the labels and the files belong to `session`. Imported by the training process only.
"""

from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, prepare_model_for_kbit_training
from torch.autograd.function import once_differentiable
from torch.utils.data import Sampler, SequentialSampler
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedTokenizerBase
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from qi_pipeline.training.backend import TrainingJob, trainer_arguments
from qi_pipeline.training.rows import IGNORED

PACKAGES = ("torch", "transformers", "trl", "peft")

# Rows of hidden states projected on the vocabulary at a time: 256 rows of 49k float32 logits are
# 50 MB, of 152k logits 156 MB, whatever the batch.
_LOSS_CHUNK = 256

# Where a configuration names one of these, logits are more than hidden state times head.
_HEAD_EXTRAS = (
    *("final_logit_softcapping", "logit_scale", "logits_scaling"),
    *("output_multiplier", "lm_head_multiplier"),
)


class _SummedLoss(torch.autograd.Function):
    """Cross entropy summed over positions, for a frozen head.

    The gradient with respect to the hidden states is taken while the logits of a chunk are still
    there, so they are neither kept nor computed twice. TRL's own chunked loss scores the prompt
    and the padding too when there is no Triton (trl 1.16, `add_fused_lm_head`).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss; `hidden` (positions, width), `head` (vocabulary, width)."""
        with_gradient = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if with_gradient else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(labels), _LOSS_CHUNK):
            rows = slice(start, start + _LOSS_CHUNK)
            targets = labels[rows, None]
            logits = (hidden[rows] @ head.T).float()
            normalizer = torch.logsumexp(logits, dim=1, keepdim=True)
            total += (normalizer - logits.gather(1, targets)).sum()
            if gradient is not None:
                difference = logits.sub_(normalizer).exp_()
                difference.scatter_add_(1, targets, difference.new_full(targets.shape, -1.0))
                gradient[rows] = difference.to(hidden.dtype) @ head
        ctx.gradient = gradient
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Return the stored gradient times the gradient of the sum."""
        return ctx.gradient * scale.to(ctx.gradient.dtype), None, None


class CompletionTrainer(SFTTrainer):
    """SFTTrainer that keeps the planned order and computes logits for labelled positions only."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(rows)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - the trainer's own signature
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the mean negative log-likelihood of the labelled tokens of `inputs`."""
        causal = self.accelerator.unwrap_model(model).get_base_model()
        if return_outputs or not _has_plain_head(causal):
            return super().compute_loss(  # type: ignore[no-untyped-call]
                model,
                inputs,
                return_outputs=return_outputs,
                num_items_in_batch=num_items_in_batch,
            )
        device = inputs["input_ids"].device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.args.bf16):
            # Rows are padded on the right and attention looks back only, so no mask is needed and
            # the attention kernel can take its causal path.
            states = causal.base_model(input_ids=inputs["input_ids"], use_cache=False)
            labels = inputs["labels"][:, 1:]
            labelled = labels != IGNORED
            hidden = states.last_hidden_state[:, :-1][labelled]
            head = causal.get_output_embeddings().weight
            total: torch.Tensor = _SummedLoss.apply(  # type: ignore[no-untyped-call]
                hidden.to(head.dtype), head, labels[labelled]
            )
        count = labelled.sum() if num_items_in_batch is None else num_items_in_batch
        return total / torch.as_tensor(count, device=total.device).clamp(min=1)


def _has_plain_head(causal: Any) -> bool:
    configuration = causal.config.get_text_config()
    head = causal.get_output_embeddings()
    return (
        all(getattr(configuration, name, None) is None for name in _HEAD_EXTRAS)
        and getattr(head, "bias", None) is None
        and not head.weight.requires_grad
        and head.weight.is_floating_point()
    )


def build_trainer(job: TrainingJob, tokenizer: PreTrainedTokenizerBase) -> CompletionTrainer:
    """Return the trainer of the job; its adapter is initialized from the preset's seed."""
    preset = job.preset
    return CompletionTrainer(
        model=_load_model(job),
        args=SFTConfig(**trainer_arguments(job)),
        train_dataset=Dataset.from_list(job.records()),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=preset.lora_r,
            lora_alpha=preset.lora_alpha,
            lora_dropout=preset.lora_dropout,
            target_modules=preset.target_modules
            if isinstance(preset.target_modules, str)
            else list(preset.target_modules),
        ),
    )


def _load_model(job: TrainingJob) -> Any:
    dtype = torch.bfloat16 if job.precision == "bfloat16" else torch.float32
    quantized = job.preset.base_quantization == "nf4"
    model = AutoModelForCausalLM.from_pretrained(
        job.base_model_dir,
        dtype=dtype,
        attn_implementation=job.preset.attention,
        quantization_config=BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        if quantized
        else None,
    )
    if quantized:
        model = prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
            model, use_gradient_checkpointing=False
        )
    return model
