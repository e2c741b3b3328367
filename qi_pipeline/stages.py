"""One function per asset: from settings and upstream results to this stage's result.

Here are the stages that make, measure and release models; `data_stages` has those before them and
says what holds for all.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_args

from qi_pipeline.artefacts import (
    build_directory,
    content_hash,
    directory_hash,
    write_json,
)
from qi_pipeline.data_stages import DataStages, clock
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import ArmResult, run_arm
from qi_pipeline.evaluation.gate import Decision, decide_release
from qi_pipeline.evaluation.generation import GenerationOptions, llama_version
from qi_pipeline.evaluation.references import check_references
from qi_pipeline.evaluation.report import (
    EvaluationContext,
    EvaluationReport,
    evaluation_report,
    write_report,
)
from qi_pipeline.evaluation.tasks import Task, bundled_suite, load_tasks, tasks_hash
from qi_pipeline.export.gguf import Quantization, export_gguf
from qi_pipeline.handles import (
    Adapter,
    DatasetSet,
    Evaluation,
    Gguf,
    Outcome,
    Release,
    ReleasedModel,
)
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.training.base_model import (
    base_model_identity,
    materialize_base_model,
    resolve_base_model,
)
from qi_pipeline.training.presets import Preset, load_preset
from qi_pipeline.training.run import adapter_key, train_adapter, write_spec
from qi_pipeline.validation.verdict import VALIDATION_VERSION

# Raised by one whenever the code behind a stage changes what it makes from equal input.
TRAINING_VERSION = "1"
EXPORT_VERSION = "1"
EVALUATION_VERSION = "1"


@dataclass(frozen=True)
class Pipeline(DataStages):
    """All stages over one data directory."""

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
        load_tasks(self.settings.tasks or bundled_suite())
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
        )
        return Outcome(handle, reused, timer.seconds, record)

    # ── evaluation_report ────────────────────────────────────────────────────────────────────────

    def generation_options(self) -> GenerationOptions:
        """Return how answers are generated."""
        return GenerationOptions(
            max_tokens=self.settings.evaluation_max_tokens, threads=self.settings.threads
        )

    def evaluation_report(self, snapshot: Snapshot, candidate: Gguf) -> Outcome[Evaluation]:
        """Measure base, tuned and live model on the same tasks against the same library."""
        incumbent = self._incumbent(candidate)
        tasks = load_tasks(self.settings.tasks or bundled_suite())
        base = self.base_gguf(candidate.base_model_dir).handle
        models = {"base": base.model, "tuned": candidate.model}
        if incumbent is not None:
            models["live"] = incumbent.model
        digests = {name: self._digest(path) for name, path in models.items()}
        key = [
            EVALUATION_VERSION,
            VALIDATION_VERSION,
            digests,
            tasks_hash(tasks),
            self.library_hash(snapshot),
            self.generation_options().decoding(),
            llama_version(),
        ]
        folder = self.folder("evaluations", key)
        reused = folder.is_dir()
        with clock() as timer:
            build_directory(folder, lambda t: self._write_evaluation(snapshot, tasks, models, t))
        handle = Evaluation(
            directory=folder,
            data_version=directory_hash(folder),
            candidate=candidate,
            incumbent="live" if "live" in models else "base",
        )
        return Outcome(handle, reused, timer.seconds, evaluation_figures(handle.read()))

    def _incumbent(self, candidate: Gguf) -> ReleasedModel | None:
        """Return the live model, or the one that the candidate replaced; None before both."""
        release = self.current_release()
        live = release.live
        if live is not None and live.model_hash == candidate.data_version:
            fallback = release.fallback
            return fallback if fallback is not None and fallback.model.is_file() else None
        if live is not None and not live.model.is_file():
            raise QiPipelineError(
                f"the live model {live.model} is gone; restore it, or delete "
                f"{self.release_pointer} to compare with the base model again"
            )
        return live

    def _digest(self, model: Path) -> str:
        export = model.parent / "export.json"
        return str(json.loads(export.read_text("utf-8"))["sha256"])

    def measure(
        self, snapshot: Snapshot, tasks: Sequence[Task], models: Mapping[str, Path], suite: str
    ) -> EvaluationReport:
        """Run the references, then every model, and put the arms side by side."""
        with self.checker(snapshot) as checker:
            passed = check_references(tasks, checker.check_modules)
            arms: list[ArmResult] = []
            for name, model in models.items():
                self.report(f"evaluating the {name} model on {len(tasks)} tasks")
                arms.append(
                    run_arm(
                        name,
                        model,
                        tasks,
                        checker.check_modules,
                        self.settings.cache_dir,
                        self.profile.system_prompt,
                        self.generation_options(),
                        self.library_hash(snapshot),
                        self.report,
                    )
                )
        context = EvaluationContext(
            title=f"How well the model writes {self.profile.name}",
            library=f"{self.profile.name} at {snapshot.commit[:12]} ({snapshot.subject})",
            suite=suite,
            tasks=tuple(tasks),
            references_passed=len(passed),
            measured_at=_now(),
        )
        return evaluation_report(arms, context)

    def _write_evaluation(
        self, snapshot: Snapshot, tasks: Sequence[Task], models: Mapping[str, Path], target: Path
    ) -> None:
        suite = (self.settings.tasks or bundled_suite()).stem
        write_report(self.measure(snapshot, tasks, models, suite), target)

    # ── model_release ────────────────────────────────────────────────────────────────────────────

    @property
    def release_pointer(self) -> Path:
        """The file that says which model is live."""
        return self.settings.data_dir / "release.json"

    def current_release(self) -> Release:
        """Return the release pointer; before the first release nothing is live."""
        if not self.release_pointer.is_file():
            return Release(
                live=None,
                fallback=None,
                candidate=None,
                decision=Decision(release=False, reason="Nothing was released yet.", lines=()),
                data_version=content_hash(None),
            )
        return Release.model_validate_json(self.release_pointer.read_text("utf-8"))

    def decide(self, evaluation: Evaluation) -> Decision:
        """Compare the candidate with the incumbent; the one gate of check and release."""
        live = self.current_release().live
        if live is not None and live.model_hash == evaluation.candidate.data_version:
            return Decision(release=True, reason="The candidate is already live.", lines=())
        incumbent = evaluation.arm(evaluation.incumbent)
        if live is not None and incumbent.model_hash != live.model_hash:
            return Decision(
                release=False,
                reason="Another model went live since this evaluation; evaluate again.",
                lines=(),
            )
        return decide_release(evaluation.arm("tuned"), incumbent)

    def model_release(self, evaluation: Evaluation) -> Outcome[Release]:
        """Make the candidate live when it is not worse; otherwise keep the live model, say why."""
        with clock() as timer:
            current = self.current_release()
            decision = self.decide(evaluation)
            candidate = evaluation.candidate
            already = current.live is not None and current.live.model_hash == candidate.data_version
            if already:
                release = current
            else:
                release = self._next_release(current, evaluation, decision)
                write_json(self.release_pointer, release.model_dump(mode="json"))
        figures = {
            "released": decision.release,
            "reason": decision.reason,
            "figures": list(decision.lines),
            "live": str(release.live.model) if release.live else "nothing",
        }
        return Outcome(release, already, timer.seconds, figures)

    def _next_release(
        self, current: Release, evaluation: Evaluation, decision: Decision
    ) -> Release:
        candidate = evaluation.candidate
        live, fallback = current.live, current.fallback
        if decision.release:
            fallback = current.live
            live = ReleasedModel(
                model=candidate.model,
                modelfile=candidate.directory / "Modelfile",
                model_hash=candidate.data_version,
                released_at=_now(),
                evaluation=evaluation.directory,
            )
        return Release(
            live=live,
            fallback=fallback,
            candidate=None if decision.release else candidate.model,
            decision=decision,
            data_version=content_hash([live.model_hash if live else None, decision.release]),
        )


def evaluation_figures(report: EvaluationReport) -> dict[str, Any]:
    """Return the headline of every arm."""
    figures: dict[str, Any] = {"tasks": report.n}
    for arm in report.arms:
        figures[f"{arm.name}_compile_and_adhere"] = arm.overall.both.count
        figures[f"{arm.name}_compile"] = arm.overall.compiles.count
        figures[f"{arm.name}_adhere"] = arm.overall.adheres.count
        figures[f"{arm.name}_bleu"] = round(arm.overall.bleu, 1)
        figures[f"{arm.name}_tokens_per_second"] = round(arm.tokens_per_second.value, 1)
    return figures


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
