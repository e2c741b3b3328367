"""One function per asset: from settings and upstream results to this stage's result.

The Dagster layer and the terminal both call these, so an artefact made in one is known to the
other. A stage computes the key of its output from everything that decides it, makes the output
only when no directory of that key exists, and says which happened. How a stage does its work
belongs to the domain packages; how it is shown belongs to `defs` and `cli`.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_args

from qi_pipeline.artefacts import (
    build_directory,
    content_hash,
    directory_hash,
    file_hash,
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
)
from qi_pipeline.datasets.build import build_datasets, datasets_key, read_summary
from qi_pipeline.datasets.fix_mining import MINING_VERSION, Miner
from qi_pipeline.datasets.fix_pairs import FixPair
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
from qi_pipeline.evolution.evolve import evolve
from qi_pipeline.evolution.report import EvolutionReport
from qi_pipeline.evolution.write import write_evolution
from qi_pipeline.export.gguf import Quantization, export_gguf
from qi_pipeline.extraction.cache import ExtractionCache
from qi_pipeline.extraction.extract import Extraction, extract_patterns
from qi_pipeline.handles import (
    RECOGNITION_FILES,
    Adapter,
    DatasetSet,
    Evaluation,
    EvolutionSet,
    Gguf,
    IndexState,
    Outcome,
    PatternSet,
    Release,
    ReleasedModel,
    ValidatedSet,
    read_recognition,
)
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.recognition.cache import EmbeddingCache
from qi_pipeline.recognition.duplicates import cluster_near_duplicates
from qi_pipeline.recognition.embeddings import EMBEDDING_MODEL_ID, embed_texts
from qi_pipeline.recognition.plots import plot_confusion, plot_map
from qi_pipeline.recognition.recognize import recognize
from qi_pipeline.recognition.records import RecognitionReport
from qi_pipeline.recognition.units import embed_units
from qi_pipeline.retrieval.index import IndexSummary, build_index
from qi_pipeline.sample.history import states
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.settings import Settings
from qi_pipeline.source.location import Location, locate
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.source.upstream import UpstreamState, read_upstream
from qi_pipeline.training.base_model import (
    base_model_identity,
    materialize_base_model,
    resolve_base_model,
)
from qi_pipeline.training.presets import Preset, load_preset
from qi_pipeline.training.run import adapter_key, train_adapter, write_spec
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.members import CheckedMembers
from qi_pipeline.validation.patterns import grade_patterns, grading_figures
from qi_pipeline.validation.review import decisions_hash, read_decisions
from qi_pipeline.validation.workspace import LibraryWorkspace, prepare_library

# Raised by one whenever the code behind a stage changes what it makes from equal input.
EXTRACTION_VERSION = "2"
RECOGNITION_VERSION = "1"
VALIDATION_VERSION = "2"
EVOLUTION_VERSION = "1"
DATASETS_VERSION = "2"
TRAINING_VERSION = "1"
EXPORT_VERSION = "1"
EVALUATION_VERSION = "1"

_KEY_LENGTH = 16

Report = Callable[[str], None]
"""Receives one line of progress."""


def _silent(_line: str) -> None:
    """Drop progress."""


@dataclass(frozen=True)
class Pipeline:
    """All stages over one data directory."""

    settings: Settings
    report: Report = _silent

    @property
    def profile(self) -> Profile:
        """The library profile of the settings."""
        return load_profile(self.settings.profile)

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
        self._toolchain_version()
        if self.settings.quantization not in get_args(Quantization):
            raise QiPipelineError(
                f"unknown quantization {self.settings.quantization!r}; known: "
                f"{', '.join(get_args(Quantization))}"
            )

    def _folder(self, stage: str, key: Any) -> Path:
        return self.settings.data_dir / stage / content_hash(key)[:_KEY_LENGTH]

    # ── repo_snapshot ────────────────────────────────────────────────────────────────────────────

    def source_location(self) -> str:
        """Return the path or URL to read; builds the bundled sample repository when asked for."""
        if self.settings.source != "sample":
            return self.settings.source
        history = [[commit.slug, files] for commit, files in states()]
        name = f"sample-library-{content_hash(history)[:_KEY_LENGTH]}"
        return str(build_directory(self.settings.data_dir / name, build_sample_repository))

    def repo_snapshot(self) -> Outcome[Snapshot]:
        """Copy one commit's relevant files into a content-named folder."""
        with _clock() as clock:
            snapshots = self.settings.data_dir / "snapshots"
            known = {path.name for path in snapshots.glob("*")}
            snapshot = take_snapshot(
                self.source_location(),
                self.settings.revision,
                self.profile,
                snapshots,
                self.settings.cache_dir / "mirrors",
            )
            kinds = Counter(file.kind for file in snapshot.files)
        figures = {
            "commit": snapshot.commit,
            "committed_at": snapshot.committed_at,
            "subject": snapshot.subject,
            "files": len(snapshot.files),
            **{f"files_{kind}": count for kind, count in sorted(kinds.items())},
            "skipped": len(snapshot.skipped),
        }
        return Outcome(snapshot, snapshot.root.name in known, clock.seconds, figures)

    def upstream(self) -> UpstreamState:
        """Return what the source's revision names right now, and the hash of its relevant files."""
        return read_upstream(
            self.source_location(),
            self.settings.revision,
            self.profile,
            self.settings.cache_dir / "mirrors",
        )

    # ── patterns ─────────────────────────────────────────────────────────────────────────────────

    def patterns(self, snapshot: Snapshot) -> Outcome[PatternSet]:
        """Extract the patterns and calls of a snapshot."""
        folder = self._folder(
            "patterns",
            [
                EXTRACTION_VERSION,
                snapshot.tree_hash,
                self.profile.model_dump(),
                self._toolchain_version(),
            ],
        )
        reused = folder.is_dir()
        with _clock() as clock:
            build_directory(folder, lambda target: self._write_patterns(snapshot, target))
        rows = read_jsonl(folder / "patterns.jsonl")
        handle = PatternSet(directory=folder, data_version=_rows_version(rows))
        figures = {
            "patterns": len(rows),
            **handle.extraction(),
            "types": dict(sorted(Counter(row["type"] for row in rows).items())),
            "categories": dict(sorted(Counter(row["category"] for row in rows).items())),
            "source_kinds": dict(sorted(Counter(row["source_kind"] for row in rows).items())),
        }
        return Outcome(handle, reused, clock.seconds, figures)

    def extract(self, snapshot: Snapshot) -> Extraction:
        """Extract what `snapshot` holds; files that a former run has seen are not read again."""
        cache = ExtractionCache(
            self.settings.cache_dir / "extraction", checker=self._toolchain_version()
        )
        oracle = CheckedMembers(self.profile, self.settings.toolchain_dir)
        return extract_patterns(snapshot, self.profile, oracle=oracle, cache=cache)

    def _write_patterns(self, snapshot: Snapshot, target: Path) -> None:
        self.report(f"extracting patterns from {len(snapshot.files)} files")
        extraction = self.extract(snapshot)
        for item in extraction.unreadable:
            self.report(f"not read: {item.file}:{item.line}: {item.reason}")
        write_jsonl(
            target / "patterns.jsonl", (p.model_dump(mode="json") for p in extraction.patterns)
        )
        write_jsonl(
            target / "untyped.jsonl", (p.model_dump(mode="json") for p in extraction.untyped)
        )
        write_jsonl(target / "calls.jsonl", (call.record() for call in extraction.calls))
        write_jsonl(target / "left_out.jsonl", (asdict(item) for item in extraction.left_out))
        write_json(target / "unreadable.json", [asdict(item) for item in extraction.unreadable])
        write_json(
            target / "extraction.json",
            {
                "calls": len(extraction.calls),
                "call_forms": Counter(item.call.form for item in extraction.calls),
                "untyped": len(extraction.untyped),
                "left_out": len(extraction.left_out),
                "unreadable": len(extraction.unreadable),
                "files_reused": extraction.counts.reused,
                "files_extracted": extraction.counts.extracted,
                "files_removed": extraction.counts.removed,
            },
        )

    # ── validated_patterns ───────────────────────────────────────────────────────────────────────

    def library(self, snapshot: Snapshot) -> LibraryWorkspace:
        """Return the folder in which modules are checked against the snapshot's own library."""
        return prepare_library(snapshot, self.profile, self.settings.cache_dir)

    @contextmanager
    def checker(self, snapshot: Snapshot) -> Iterator[Checker]:
        """Open the one checker that filters training data and scores answers."""
        library = self.library(snapshot)
        with Checker(library, self.profile, self.settings.toolchain_dir) as checker:
            yield checker

    def validated_patterns(self, snapshot: Snapshot, patterns: PatternSet) -> Outcome[ValidatedSet]:
        """Give every pattern its verdict, duplicate cluster and status."""
        folder = self._folder(
            "validated",
            [
                VALIDATION_VERSION,
                patterns.data_version,
                snapshot.tree_hash,
                self.profile.model_dump(),
                self._toolchain_version(),
                [RECOGNITION_VERSION, EMBEDDING_MODEL_ID],
                decisions_hash(read_decisions(self.settings.review_file)),
            ],
        )
        reused = folder.is_dir()
        with _clock() as clock:
            build_directory(folder, lambda target: self._write_verdicts(snapshot, patterns, target))
        handle = ValidatedSet(
            directory=folder,
            data_version=file_hash(folder / "validated_patterns.jsonl"),
        )
        figures = grading_figures(handle.read()) | recognition_figures(
            read_recognition(handle.directory)
        )
        return Outcome(handle, reused, clock.seconds, figures)

    def _write_verdicts(self, snapshot: Snapshot, patterns: PatternSet, target: Path) -> None:
        rows, untyped = patterns.read(), patterns.untyped()
        decisions = read_decisions(self.settings.review_file)
        recognized = self._recognized(patterns)
        for name in RECOGNITION_FILES:
            shutil.copyfile(recognized / name, target / name)
        recognition = read_recognition(recognized)
        clusters = cluster_near_duplicates({row.id: row.implementation for row in rows})
        self.report(f"checking {len(rows)} patterns with the TypeScript compiler")
        with self.checker(snapshot) as checker:
            validated = grade_patterns(
                rows, untyped, checker, clusters, recognition.by_id(), decisions
            )
        ordered = sorted(validated, key=lambda row: row.pattern.id)
        write_jsonl(
            target / "validated_patterns.jsonl", (row.model_dump(mode="json") for row in ordered)
        )

    def _recognized(self, patterns: PatternSet) -> Path:
        """Return the folder of what recognition says; decisions in review do not change it."""
        folder = self._folder(
            "recognition", [RECOGNITION_VERSION, patterns.data_version, EMBEDDING_MODEL_ID]
        )
        return build_directory(folder, lambda target: self._recognize(patterns, target))

    def _recognize(self, patterns: PatternSet, target: Path) -> None:
        units = [*patterns.read(), *patterns.untyped()]
        self.report(f"recognising {len(units)} units by what they resemble")
        cache = self._embedding_cache()

        def embed(texts: Sequence[str]) -> Any:
            return embed_texts(texts, cache=cache, threads=self.settings.threads)

        report = recognize(units, embed)
        embedded = embed_units(units, embed)
        write_json(target / RECOGNITION_FILES[0], report.model_dump(mode="json"))
        write_bytes(target / "map.png", plot_map(embedded.patterns, embedded.vectors, report))
        write_bytes(target / "confusion.png", plot_confusion(report.agreement))

    def _embedding_cache(self) -> EmbeddingCache:
        return EmbeddingCache(self.settings.cache_dir / "embeddings", EMBEDDING_MODEL_ID)

    def _toolchain_version(self) -> str:
        lock = self.settings.toolchain_dir / "package-lock.json"
        if not lock.is_file():
            raise QiPipelineError(
                f"no TypeScript toolchain at {self.settings.toolchain_dir}; run `make setup`, or "
                "point QI_TOOLCHAIN_DIR at the folder with package.json and node_modules"
            )
        return file_hash(lock)

    # ── pattern_evolution ────────────────────────────────────────────────────────────────────────

    def _location(self, snapshot: Snapshot) -> Location:
        return locate(self.source_location(), snapshot.commit, self.settings.cache_dir / "mirrors")

    def pattern_evolution(self, snapshot: Snapshot) -> Outcome[EvolutionSet]:
        """Follow symbols, pattern types and rule violations over the history of the snapshot."""
        key = [
            EVOLUTION_VERSION,
            snapshot.commit,
            self.profile.model_dump(),
            self._toolchain_version(),
        ]
        folder = self._folder("evolution", key)
        reused = folder.is_dir()
        with _clock() as clock:
            if not reused:
                location = self._location(snapshot)
                evolution = evolve(
                    location.repository,
                    location.commit,
                    self.profile,
                    self.settings.toolchain_dir,
                    self.settings.cache_dir,
                    self.report,
                )
                write_evolution(evolution, self.profile, folder)
        handle = EvolutionSet(directory=folder, data_version=directory_hash(folder))
        return Outcome(handle, reused, clock.seconds, evolution_figures(handle.read()))

    # ── training_datasets ────────────────────────────────────────────────────────────────────────

    def training_datasets(self, snapshot: Snapshot, validated: ValidatedSet) -> Outcome[DatasetSet]:
        """Write the datasets in every format, split by group."""
        rows = validated.read()
        with _clock() as clock:
            pairs = self._fix_pairs(snapshot)
            folder = self._folder(
                "datasets", [DATASETS_VERSION, datasets_key(rows, self.profile, pairs)]
            )
            reused = folder.is_dir()
            build_directory(
                folder, lambda t: build_datasets(rows, self.profile, snapshot, t, pairs)
            )
        summary = read_summary(folder)
        handle = DatasetSet(directory=folder, data_version=summary.data_version, summary=summary)
        return Outcome(handle, reused, clock.seconds, summary.model_dump(mode="json"))

    def _fix_pairs(self, snapshot: Snapshot) -> list[FixPair]:
        """Return the history's violation → fix pairs whose fix still complies today."""
        key = [
            MINING_VERSION,
            VALIDATION_VERSION,
            snapshot.commit,
            self.profile.model_dump(),
            self._toolchain_version(),
        ]
        folder = build_directory(
            self._folder("fix-pairs", key), lambda t: self._write_fix_pairs(snapshot, t)
        )
        return [FixPair.model_validate(row) for row in read_jsonl(folder / "current.jsonl")]

    def _write_fix_pairs(self, snapshot: Snapshot, target: Path) -> None:
        miner = Miner(
            self.profile, self.settings.toolchain_dir, self.settings.cache_dir, self.report
        )
        mined = miner.mine(self._location(snapshot))
        for reason in mined.unverified:
            self.report(f"fixes not verified: {reason}")
        with self.checker(snapshot) as checker:
            verdicts = checker.check_modules({pair.id: pair.after for pair in mined.pairs})
        current = [pair for pair in mined.pairs if verdicts[pair.id].complies]
        write_jsonl(target / "pairs.jsonl", (pair.model_dump(mode="json") for pair in mined.pairs))
        write_jsonl(target / "current.jsonl", (pair.model_dump(mode="json") for pair in current))
        write_json(target / "unverified.json", list(mined.unverified))

    # ── pattern_index ────────────────────────────────────────────────────────────────────────────

    def index_location(self) -> Path | str:
        """Return the Chroma folder, or the URL of a Chroma server."""
        return self.settings.chroma_url or self.settings.data_dir / "index"

    def pattern_index(self, validated: ValidatedSet) -> Outcome[IndexState]:
        """Bring the Chroma collection in line with the kept patterns."""
        with _clock() as clock:
            rows = [row for row in validated.read() if row.usable]
            summary: IndexSummary = build_index(
                rows, self.index_location(), self._embedding_cache()
            )
        handle = IndexState(
            location=str(self.index_location()),
            data_version=summary.data_version,
            count=summary.count,
        )
        reused = not (summary.added or summary.updated or summary.removed)
        return Outcome(handle, reused, clock.seconds, asdict(summary))

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
        folder = self._folder(
            "adapters", [TRAINING_VERSION, adapter_key(datasets.data_version, preset, base)]
        )
        reused = folder.is_dir()
        with _clock() as clock:
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
        return Outcome(handle, reused, clock.seconds, handle.record())

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
        folder = self._folder(
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
        with _clock() as clock:
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
        return Outcome(handle, reused, clock.seconds, record)

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
        folder = self._folder("evaluations", key)
        reused = folder.is_dir()
        with _clock() as clock:
            build_directory(folder, lambda t: self._write_evaluation(snapshot, tasks, models, t))
        handle = Evaluation(
            directory=folder,
            data_version=directory_hash(folder),
            candidate=candidate,
            incumbent="live" if "live" in models else "base",
        )
        return Outcome(handle, reused, clock.seconds, evaluation_figures(handle.read()))

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

    def library_hash(self, snapshot: Snapshot) -> str:
        """Return the hash of everything that decides a verdict."""
        return content_hash(
            [
                VALIDATION_VERSION,
                snapshot.tree_hash,
                self.profile.model_dump(),
                self._toolchain_version(),
            ]
        )

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
        with _clock() as clock:
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
        return Outcome(release, already, clock.seconds, figures)

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


def recognition_figures(report: RecognitionReport) -> dict[str, Any]:
    """Return how far the learned types agree with the syntactic ones on held-out files."""
    agreement = report.agreement
    return {
        "type_agreement": round(agreement.accuracy, 3),
        "type_agreement_any": round(agreement.accuracy_any, 3),
        "type_agreement_macro_f1": round(agreement.macro_f1, 3),
        "type_agreement_of_majority": round(agreement.majority_accuracy, 3),
        "clusters": len(report.clusters),
        "unclustered_share": round(report.noise_share, 3),
    }


def evolution_figures(report: EvolutionReport) -> dict[str, Any]:
    """Return the size of the history and what it says needs doing."""
    return {
        "commits": report.commits,
        "changed_commits": report.changed_commits,
        "symbols": len(report.symbols),
        "trends": dict(sorted(Counter(symbol.trend for symbol in report.symbols).items())),
        "violations": {rule.rule: rule.total for rule in report.rules},
        "recommendations": len(report.recommendations),
    }


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


def _rows_version(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hash pattern rows without their commit: a commit that changes no file changes no row."""
    return content_hash([{k: v for k, v in row.items() if k != "commit"} for row in rows])


@dataclass
class _Clock:
    seconds: float = 0.0


@contextmanager
def _clock() -> Iterator[_Clock]:
    """Measure the wall time of a block in seconds."""
    clock = _Clock()
    started = time.monotonic()
    try:
        yield clock
    finally:
        clock.seconds = time.monotonic() - started


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
