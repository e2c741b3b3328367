"""Training presets: every hyperparameter in one file.

Flows in: `presets.toml`. Flows out: frozen `Preset` values. What a hyperparameter does belongs to
the backends.
"""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.settings import ArmName

PRESETS_FILE = Path(__file__).with_name("presets.toml")


class Preset(BaseModel):
    """One complete set of hyperparameters; lengths and budgets are in tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    base_model: str
    backend: Literal["trl", "unsloth"]
    base_quantization: Literal["none", "nf4"]
    """Type in which the frozen base weights are held while training."""
    dtype: Literal["auto", "bfloat16", "float32"]
    attention: Literal["eager", "sdpa"]
    lora_r: int = Field(gt=0)
    lora_alpha: int = Field(gt=0)
    lora_dropout: float = Field(ge=0, lt=1)
    target_modules: str | tuple[str, ...]
    learning_rate: float = Field(gt=0)
    learning_rate_schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"]
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(ge=0)
    max_gradient_norm: float = Field(gt=0)
    micro_batch: int = Field(gt=0)
    """Rows per forward pass; the memory of activations and logits grows with it."""
    accumulation: int = Field(gt=0)
    """Micro-batches per optimizer step."""
    max_length: int = Field(gt=0)
    max_tokens: int = Field(gt=0)
    max_validation_tokens: int = Field(gt=0)
    epochs: int = Field(gt=0)
    seed: int = Field(ge=0)
    evaluation_arms: tuple[ArmName, ...]
    """Arms that are measured unless the settings name others."""

    def hyperparameters(self) -> dict[str, object]:
        """Return every field that changes the adapter."""
        return self.model_dump(mode="json", exclude={"name", "description", "evaluation_arms"})


@lru_cache(maxsize=1)
def load_presets() -> dict[str, Preset]:
    """Return the bundled presets by name, in the order of the file."""
    tables = tomllib.loads(PRESETS_FILE.read_text(encoding="utf-8"))
    return {name: Preset(name=name, **table) for name, table in tables.items()}


def load_preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises QiPipelineError naming the known presets when there is none.
    """
    preset = load_presets().get(name)
    if preset is None:
        known = ", ".join(sorted(load_presets()))
        raise QiPipelineError(f"unknown preset {name!r}; known: {known}")
    return preset
