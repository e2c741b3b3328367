"""The stages from source to index: snapshot, patterns, verdicts, history, datasets.

The Dagster layer and the terminal both call these, so an artefact made in one is known to the
other. A stage computes the key of its output from everything that decides it, makes the output
only when no directory of that key exists, and says which happened. How a stage does its work
belongs to the domain packages; how it is shown belongs to `defs` and `cli`; models belong to
`stages`.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
from qi_pipeline.datasets.contamination import TaskText
from qi_pipeline.datasets.fix_mining import Miner
from qi_pipeline.datasets.fix_pairs import FixPair
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.tasks import bundled_suite, general_suite, load_tasks
from qi_pipeline.evolution.evolve import evolve
from qi_pipeline.evolution.report import EvolutionReport
from qi_pipeline.evolution.write import write_evolution
from qi_pipeline.extraction.cache import EXTRACTOR_VERSION, ExtractionCache
from qi_pipeline.extraction.extract import Extraction, extract_patterns, read_library
from qi_pipeline.handles import (
    RECOGNITION_FILES,
    DatasetSet,
    EvolutionSet,
    IndexState,
    Outcome,
    PatternSet,
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
from qi_pipeline.sandbox.mutation import (
    MUTATION_VERSION,
    FunctionTester,
    LibraryTests,
    prepare_function_tester,
    reaching_tests,
)
from qi_pipeline.sandbox.sandbox import Sandbox, SandboxRefusedError
from qi_pipeline.sandbox.suite import prepare_suite, suite_files
from qi_pipeline.settings import Settings
from qi_pipeline.source.location import Location, locate
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.source.upstream import UpstreamState, read_upstream
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.members import CheckedMembers
from qi_pipeline.validation.patterns import grade_patterns, grading_figures
from qi_pipeline.validation.review import ReviewDecision, decisions_hash, read_decisions
from qi_pipeline.validation.verdict import VALIDATION_VERSION
from qi_pipeline.validation.workspace import LibraryWorkspace, prepare_library

# Raised by one whenever the code behind a stage changes what it makes from equal input.
EXTRACTION_VERSION = EXTRACTOR_VERSION
RECOGNITION_VERSION = "1"
EVOLUTION_VERSION = "2"
DATASETS_VERSION = "3"

KEY_LENGTH = 16

Report = Callable[[str], None]
"""Receives one line of progress."""


def _silent(_line: str) -> None:
    """Drop progress."""


@dataclass(frozen=True)
class DataStages:
    """The stages that need no model, over one data directory."""

    settings: Settings
    report: Report = _silent

    @property
    def profile(self) -> Profile:
        """The library profile of the settings."""
        return load_profile(self.settings.profile)

    def folder(self, stage: str, key: Any) -> Path:
        """Return where a stage's output for `key` (JSON values) lies."""
        return self.settings.data_dir / stage / content_hash(key)[:KEY_LENGTH]

    # ── repo_snapshot ────────────────────────────────────────────────────────────────────────────

    def source_location(self) -> str:
        """Return the path or URL to read; builds the bundled sample repository when asked for."""
        if self.settings.source != "sample":
            return self.settings.source
        history = [[commit.slug, files] for commit, files in states()]
        name = f"sample-library-{content_hash(history)[:KEY_LENGTH]}"
        return str(build_directory(self.settings.data_dir / name, build_sample_repository))

    def repo_snapshot(self) -> Outcome[Snapshot]:
        """Copy one commit's relevant files into a content-named folder."""
        with clock() as timer:
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
        return Outcome(snapshot, snapshot.root.name in known, timer.seconds, figures)

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
        folder = self.folder(
            "patterns",
            [
                EXTRACTION_VERSION,
                snapshot.tree_hash,
                self.profile.model_dump(),
                self.toolchain_version(),
            ],
        )
        reused = folder.is_dir()
        with clock() as timer:
            build_directory(folder, lambda target: self._write_patterns(snapshot, target))
        rows = read_jsonl(folder / "patterns.jsonl")
        untyped = read_jsonl(folder / "untyped.jsonl")
        handle = PatternSet(directory=folder, data_version=rows_version([*rows, *untyped]))
        figures = {
            "patterns": len(rows),
            **handle.extraction(),
            "types": dict(sorted(Counter(row["type"] for row in rows).items())),
            "categories": dict(sorted(Counter(row["category"] for row in rows).items())),
            "source_kinds": dict(sorted(Counter(row["source_kind"] for row in rows).items())),
        }
        return Outcome(handle, reused, timer.seconds, figures)

    def extract(self, snapshot: Snapshot) -> Extraction:
        """Extract what `snapshot` holds; files that a former run has seen are not read again."""
        cache = ExtractionCache(
            self.settings.cache_dir / "extraction", checker=self.toolchain_version()
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

    def library_hash(self, snapshot: Snapshot) -> str:
        """Return the hash of everything that decides a verdict."""
        return content_hash(
            [
                VALIDATION_VERSION,
                snapshot.tree_hash,
                self.profile.model_dump(),
                self.toolchain_version(),
            ]
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
        tests = self.library_tests(snapshot)
        decisions = read_decisions(self.settings.review_file)
        folder = self.folder(
            "validated",
            [
                VALIDATION_VERSION,
                tests.model_dump(exclude={"seconds"}) if tests is not None else None,
                patterns.data_version,
                snapshot.tree_hash,
                self.profile.model_dump(),
                self.toolchain_version(),
                [RECOGNITION_VERSION, EMBEDDING_MODEL_ID],
                decisions_hash(decisions),
            ],
        )
        reused = folder.is_dir()
        with clock() as timer:
            build_directory(
                folder,
                lambda target: self._write_verdicts(snapshot, patterns, tests, decisions, target),
            )
        handle = ValidatedSet(
            directory=folder,
            data_version=file_hash(folder / "validated_patterns.jsonl"),
        )
        figures = grading_figures(handle.read()) | recognition_figures(
            read_recognition(handle.directory)
        )
        return Outcome(handle, reused, timer.seconds, figures)

    def _write_verdicts(
        self,
        snapshot: Snapshot,
        patterns: PatternSet,
        tests: LibraryTests | None,
        decisions: Sequence[ReviewDecision],
        target: Path,
    ) -> None:
        rows, untyped = patterns.read(), patterns.untyped()
        recognized = self._recognized(patterns)
        for name in RECOGNITION_FILES:
            shutil.copyfile(recognized / name, target / name)
        recognition = read_recognition(recognized)
        clusters = cluster_near_duplicates({row.id: row.implementation for row in rows})
        self.report(f"checking {len(rows)} patterns with the TypeScript compiler")
        with self.checker(snapshot) as checker:
            validated = grade_patterns(
                rows,
                untyped,
                checker,
                clusters,
                recognition.by_id(),
                decisions,
                library_tests=tests.marks(rows) if tests is not None else None,
            )
        ordered = sorted(validated, key=lambda row: row.pattern.id)
        write_jsonl(
            target / "validated_patterns.jsonl", (row.model_dump(mode="json") for row in ordered)
        )

    def library_tests(self, snapshot: Snapshot) -> LibraryTests | None:
        """Say which functions' own tests notice a wrong body; in the sandbox, once per library.

        None where there are no tests, and where this machine refuses the sandbox; that is reported,
        and nothing untrusted is run.
        """
        if not suite_files(snapshot):
            return None
        judged = ("implementation", "test", "manifest")
        key = [
            MUTATION_VERSION,
            EXTRACTION_VERSION,
            [[file.path, file.blob] for file in snapshot.files if file.kind in judged],
            self.profile.model_dump(),
            self.toolchain_version(),
        ]
        folder = self.settings.cache_dir / "library-tests" / content_hash(key)[:KEY_LENGTH]
        kept = folder / "library_tests.json"
        if kept.is_file():
            return LibraryTests.model_validate_json(kept.read_bytes())
        try:
            tests = self._run_library_tests(snapshot)
        except SandboxRefusedError as refused:
            self.report(f"the library's own tests were not run: {refused}")
            return None
        if tests.problem is not None:
            # What stands in the way may pass, so it is not kept.
            self.report(tests.problem)
            return tests
        build_directory(
            folder, lambda target: write_json(target / kept.name, tests.model_dump(mode="json"))
        )
        return tests

    def _run_library_tests(self, snapshot: Snapshot) -> LibraryTests:
        self.report("running the library's own tests against a wrong body of every function")
        return self.function_tester(snapshot).judge_all(workers=self.settings.threads)

    def function_tester(self, snapshot: Snapshot) -> FunctionTester:
        """Return what runs the library's own tests over changed functions."""
        suite = prepare_suite(
            snapshot,
            self.library(snapshot),
            self.profile,
            self.settings.toolchain_dir,
            self.settings.cache_dir,
            sandbox=Sandbox(self.settings.sandbox),
        )
        library = read_library(snapshot, self.profile)
        reaching = reaching_tests(library, self.extract(snapshot).coverage, suite)
        return prepare_function_tester(suite, library, reaching, workers=self.settings.threads)

    def _recognized(self, patterns: PatternSet) -> Path:
        """Return the folder of what recognition says; decisions in review do not change it."""
        folder = self.folder(
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

    def toolchain_version(self) -> str:
        """Return the hash of the compiler's lock file; QiPipelineError when it is not there."""
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
            self.toolchain_version(),
        ]
        folder = self.folder("evolution", key)
        reused = folder.is_dir()
        with clock() as timer:
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
                if not evolution.complete:
                    # Another run may judge what this one could not: the final name stays free.
                    self.report(f"{evolution.unjudged} commits could not be judged by the rules")
                    folder = self.folder("evolution", [*key, evolution.version])
                write_evolution(evolution, self.profile, folder)
        handle = EvolutionSet(directory=folder, data_version=directory_hash(folder))
        return Outcome(handle, reused, timer.seconds, evolution_figures(handle.read()))

    # ── training_datasets ────────────────────────────────────────────────────────────────────────

    def training_datasets(self, snapshot: Snapshot, validated: ValidatedSet) -> Outcome[DatasetSet]:
        """Write the datasets in every format, split by group, without what overlaps with a task."""
        rows = validated.read()
        tasks = self.task_texts()
        with clock() as timer:
            pairs = self._fix_pairs(snapshot)
            key = datasets_key(rows, self.profile, pairs, tasks=tasks)
            folder = self.folder("datasets", [DATASETS_VERSION, key])
            reused = folder.is_dir()
            build_directory(
                folder,
                lambda t: build_datasets(rows, self.profile, snapshot, t, pairs, tasks=tasks),
            )
        summary = read_summary(folder)
        handle = DatasetSet(directory=folder, data_version=summary.data_version, summary=summary)
        return Outcome(handle, reused, timer.seconds, summary.model_dump(mode="json"))

    def task_texts(self) -> list[TaskText]:
        """Return the texts of every task that a model is measured on, general ones included."""
        suites = (self.settings.tasks or bundled_suite(), general_suite())
        return [
            TaskText(task.id, task.prompt, task.reference)
            for suite in suites
            for task in load_tasks(suite)
        ]

    def _fix_pairs(self, snapshot: Snapshot) -> list[FixPair]:
        """Return the history's violation → fix pairs whose fix still complies today."""
        miner = Miner(
            self.profile, self.settings.toolchain_dir, self.settings.cache_dir, self.report
        )
        mined = miner.mine(self._location(snapshot))
        for reason in mined.unverified:
            self.report(f"fixes not verified: {reason}")
        key = [self.library_hash(snapshot), [pair.model_dump() for pair in mined.pairs]]
        folder = build_directory(
            self.folder("fix-pairs", key),
            lambda target: self._write_fix_pairs(snapshot, mined.pairs, target),
        )
        return [FixPair.model_validate(row) for row in read_jsonl(folder / "current.jsonl")]

    def _write_fix_pairs(self, snapshot: Snapshot, pairs: Sequence[FixPair], target: Path) -> None:
        with self.checker(snapshot) as checker:
            verdicts = checker.check_modules({pair.id: pair.after for pair in pairs})
        current = [pair for pair in pairs if verdicts[pair.id].complies]
        write_jsonl(target / "pairs.jsonl", (pair.model_dump(mode="json") for pair in pairs))
        write_jsonl(target / "current.jsonl", (pair.model_dump(mode="json") for pair in current))

    # ── pattern_index ────────────────────────────────────────────────────────────────────────────

    def index_location(self) -> Path | str:
        """Return the Chroma folder, or the URL of a Chroma server."""
        return self.settings.chroma_url or self.settings.data_dir / "index"

    def pattern_index(self, validated: ValidatedSet) -> Outcome[IndexState]:
        """Bring the Chroma collection in line with the kept patterns."""
        with clock() as timer:
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
        return Outcome(handle, reused, timer.seconds, asdict(summary))


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


def rows_version(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hash pattern rows without their commit: a commit that changes no file changes no row."""
    return content_hash([{k: v for k, v in row.items() if k != "commit"} for row in rows])


@dataclass
class Clock:
    """Wall time of a block, once it has ended."""

    seconds: float = 0.0


@contextmanager
def clock() -> Iterator[Clock]:
    """Measure the wall time of a block in seconds."""
    timer = Clock()
    started = time.monotonic()
    try:
        yield timer
    finally:
        timer.seconds = time.monotonic() - started
