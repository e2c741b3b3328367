"""The stages that make models: adapter and exported file.

`data_stages` says what holds for all stages; measuring and releasing models belongs to `stages`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from qi_pipeline.artefacts import content_hash
from qi_pipeline.data_stages import DataStages, clock
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.generation import llama_version
from qi_pipeline.export.gguf import Quantization, export_gguf
from qi_pipeline.handles import Adapter, DatasetSet, Gguf, Outcome
from qi_pipeline.training.base_model import (
    base_model_identity,
    materialize_base_model,
    resolve_base_model,
)
from qi_pipeline.training.presets import Preset, load_preset
from qi_pipeline.training.run import adapter_key, train_adapter, write_spec

# Raised by one whenever the code behind a stage changes what it makes from equal input.
TRAINING_VERSION = "1"
EXPORT_VERSION = "1"


@dataclass(frozen=True)
class ModelStages(DataStages):
    """The stages up to an exported model, over one data directory."""

    @property
    def preset(self) -> Preset:
        """The training preset of the settings, with the base model they name."""
        preset = load_preset(self.settings.preset)
        if self.settings.base_model is None:
            return preset
        return preset.model_copy(update={"base_model": self.settings.base_model})

    def require_usable(self) -> None:
        """Raise QiPipelineError now for choices that would fail a run only after minutes."""
        preset = self.preset
        resolve_base_model(preset.base_model)
        if preset.backend == "unsloth" and self.settings.training_python is None:
            raise QiPipelineError(
                f"preset {preset.name!r} trains with Unsloth, which needs an environment of its "
                "own; make it as requirements/unsloth.txt says and name its interpreter in "
                "QI_TRAINING_PYTHON"
            )
        self.toolchain_version()
        if self.settings.quantization not in get_args(Quantization):
            raise QiPipelineError(
                f"unknown quantization {self.settings.quantization!r}; known: "
                f"{', '.join(get_args(Quantization))}"
            )

    # ── lora_adapter ─────────────────────────────────────────────────────────────────────────────

    def lora_adapter(
        self, datasets: DatasetSet, train: Callable[[Path], object] = train_adapter
    ) -> Outcome[Adapter]:
        """Train the adapter in its own process.

        `train` runs that process for a specification file; the Dagster layer passes one that goes
        through Pipes.
        """
        datasets.require_trainable()
        preset = self.preset
        base = resolve_base_model(preset.base_model)
        folder = self.folder(
            "adapters", [TRAINING_VERSION, adapter_key(datasets.data_version, preset, base)]
        )
        reused = folder.is_dir()
        with clock() as timer:
            base_dir = materialize_base_model(base, self.settings.cache_dir / "base-models")
            if not reused:
                spec = write_spec(
                    folder.with_suffix(".spec.json"),
                    datasets_dir=datasets.directory,
                    base_model_dir=base_dir,
                    output_dir=folder,
                    preset=preset,
                    threads=self.settings.threads,
                )
                self.report(f"training preset {preset.name!r} on {datasets.summary.train} samples")
                try:
                    train(spec)
                finally:
                    spec.unlink(missing_ok=True)
        handle = Adapter(
            directory=folder,
            data_version=content_hash(folder.name),
            preset=preset.name,
            base_model=preset.base_model,
            base_model_dir=base_dir,
        )
        return Outcome(handle, reused, timer.seconds, handle.record())

    # ── gguf_model ───────────────────────────────────────────────────────────────────────────────

    def gguf_model(self, adapter: Adapter) -> Outcome[Gguf]:
        """Merge the adapter, convert, quantize, and ask the result one question."""
        return self._export(adapter.base_model_dir, adapter.directory)

    def base_gguf(self, base_model_dir: Path) -> Outcome[Gguf]:
        """Export the base model by the same route, so that both arms differ in the adapter only."""
        return self._export(base_model_dir, None)

    def _export(self, base_model_dir: Path, adapter_dir: Path | None) -> Outcome[Gguf]:
        quantization = self.settings.quantization
        adapter = adapter_dir.name if adapter_dir is not None else None
        folder = self.folder(
            "models",
            [
                EXPORT_VERSION,
                base_model_identity(base_model_dir),
                adapter,
                quantization,
                self.profile.system_prompt,
                llama_version(),
            ],
        )
        reused = folder.is_dir()
        with clock() as timer:
            if not reused:
                self.report(f"exporting {'the tuned' if adapter else 'the base'} model to GGUF")
            record = export_gguf(
                base_model_dir,
                adapter_dir,
                folder,
                cast("Quantization", quantization),
                self.settings.converter_dir,
                system_prompt=self.profile.system_prompt,
                threads=self.settings.threads,
            ).model_dump(mode="json")
        handle = Gguf(
            directory=folder,
            data_version=record["sha256"],
            quantization=quantization,
            base_model_dir=base_model_dir,
            adapter_dir=adapter_dir,
        )
        return Outcome(handle, reused, timer.seconds, record)
