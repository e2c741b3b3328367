"""One function per asset: from settings and upstream results to this stage's result.

Here are the stages that measure and release models; `data_stages` has those before a model and says
what holds for all, `model_stages` those that make one.
"""

import fcntl
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qi_pipeline.artefacts import (
    build_directory,
    content_hash,
    read_jsonl,
    write_json,
)
from qi_pipeline.data_stages import clock
from qi_pipeline.datasets.build import read_overlaps, remaining_overlaps
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import ArmPlan, Setup, run_arm
from qi_pipeline.evaluation.gate import Decision, GateEvidence, decide_release
from qi_pipeline.evaluation.generation import (
    LocalModel,
    Model,
    engine_of,
    generate_answers,
    model_digest,
)
from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.evaluation.parity import check_parity
from qi_pipeline.evaluation.records import (
    ContaminationReport,
    GenerationOptions,
    Overlap,
    ParityReport,
    PastEvaluation,
    RepositoryArm,
    Verification,
)
from qi_pipeline.evaluation.references import check_references
from qi_pipeline.evaluation.report import (
    EvaluationContext,
    EvaluationReport,
    evaluation_report,
    write_report,
)
from qi_pipeline.evaluation.repository import (
    repository_requests,
    repository_tasks,
    score_repository,
)
from qi_pipeline.evaluation.selftest import SelfTest, run_self_test
from qi_pipeline.evaluation.suite_check import SuiteCheck, check_suite
from qi_pipeline.evaluation.tasks import (
    GENERAL_SYSTEM_PROMPT,
    Task,
    bundled_suite,
    general_suite,
    load_tasks,
    tasks_hash,
)
from qi_pipeline.handles import DatasetSet, Evaluation, Gguf, IndexState, Outcome
from qi_pipeline.model_stages import ModelStages
from qi_pipeline.release import (
    Release,
    ReleasedModel,
    Target,
    admit,
    nothing_released,
    problem_with,
    promote,
    roll_back,
    withhold,
)
from qi_pipeline.retrieval.context import Context, context_for
from qi_pipeline.retrieval.index import PatternIndex
from qi_pipeline.sandbox.bundle import Toolchain
from qi_pipeline.sandbox.modules import prepare_tester
from qi_pipeline.sandbox.mutants import make_mutants
from qi_pipeline.sandbox.mutation import usable_cores
from qi_pipeline.sandbox.sandbox import Sandbox
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.validation.verdict import VALIDATION_VERSION

# Raised by one whenever the code behind a stage changes what it makes from equal input.
EVALUATION_VERSION = "3"

_QUESTION_TOKENS = 3072
"""Room for system prompt, retrieved patterns, task and the compiler's messages; beside it stand the
answer, and in a repair the answer before, with a margin."""
BASE, TUNED, LIVE = "base", "tuned", "live"
HEADLINE = "headline.json"
"""What later evaluations on the same suite show of this one."""


@dataclass(frozen=True)
class Pipeline(ModelStages):
    """All stages over one data directory."""

    def require_usable(self) -> None:
        """Raise QiPipelineError now for choices that would fail a run only after minutes."""
        super().require_usable()
        self.suite()

    # ── evaluation_report ────────────────────────────────────────────────────────────────────────

    def suite(self) -> tuple[Task, ...]:
        """Return the tasks that models are measured on."""
        return load_tasks(self.settings.tasks or bundled_suite())

    def generation_options(self) -> GenerationOptions:
        """Return how answers are generated."""
        return GenerationOptions(
            max_tokens=self.settings.evaluation_max_tokens,
            n_ctx=_QUESTION_TOKENS + 3 * self.settings.evaluation_max_tokens,
            slots=self.settings.evaluation_slots,
            threads=self.settings.threads,
        )

    @contextmanager
    def judge(self, snapshot: Snapshot) -> Iterator[Judge]:
        """Open the one instrument that compiles, convicts and runs answers.

        Raises SandboxRefusedError when this machine refuses to run untrusted code safely.
        """
        tester = prepare_tester(
            self.library(snapshot),
            self.settings.toolchain_dir,
            self.settings.cache_dir,
            sandbox=Sandbox(self.settings.sandbox),
        )
        with self.checker(snapshot) as checker:
            yield Judge(checker, tester, workers=self.settings.threads or usable_cores())

    def setup(self, snapshot: Snapshot, judge: Judge) -> Setup:
        """Return what all arms of an evaluation share."""
        return Setup(
            judge=judge,
            library_hash=self.library_hash(snapshot),
            system_prompt=self.profile.system_prompt,
            options=self.generation_options(),
            cache_dir=self.settings.cache_dir,
            retrieve=self._retrieve,
            show=self.report,
        )

    def _retrieve(self, question: str) -> Context:
        return context_for(question, PatternIndex(self.index_location()))

    def arm_plans(self, models: Mapping[str, Model]) -> tuple[ArmPlan, ...]:
        """Return the arms that the settings ask for, `base` and `tuned` always among them."""
        verification = Verification(best_of=self.settings.evaluation_best_of)
        plans = {
            "base": ArmPlan("base", models[BASE]),
            "base+retrieval": ArmPlan("base+retrieval", models[BASE], retrieval=True),
            "tuned": ArmPlan("tuned", models[TUNED]),
            "tuned+retrieval": ArmPlan("tuned+retrieval", models[TUNED], retrieval=True),
            "tuned+retrieval+verification": ArmPlan(
                "tuned+retrieval+verification",
                models[TUNED],
                retrieval=True,
                verification=verification,
            ),
        }
        chosen = {BASE, TUNED, *(self.settings.evaluation_arms or self.preset.evaluation_arms)}
        found = [plan for name, plan in plans.items() if name in chosen]
        if LIVE in models:
            found.append(ArmPlan(LIVE, models[LIVE]))
        return tuple(found)

    def evaluation_report(
        self, snapshot: Snapshot, candidate: Gguf, index: IndexState, datasets: DatasetSet
    ) -> Outcome[Evaluation]:
        """Measure base, tuned and live model on the same tasks against the same library."""
        base = self.base_gguf(candidate.base_model_dir).handle
        incumbent = self._incumbent(candidate, base)
        models: dict[str, Model] = {
            BASE: LocalModel(base.model),
            TUNED: LocalModel(candidate.model),
        }
        if incumbent is not None:
            models[LIVE] = LocalModel(incumbent.model)
        plans = self.arm_plans(models)
        key = [
            EVALUATION_VERSION,
            VALIDATION_VERSION,
            {name: [model_digest(model), engine_of(model)] for name, model in models.items()},
            [[plan.name, plan.verification and plan.verification.model_dump()] for plan in plans],
            tasks_hash(self.suite()),
            tasks_hash(load_tasks(general_suite())),
            self.library_hash(snapshot),
            self.generation_options().decoding(),
            self.settings.evaluation_functions,
            index.data_version if any(plan.retrieval for plan in plans) else None,
            datasets.data_version,
        ]
        folder = self.folder("evaluations", key)
        reused = folder.is_dir()
        with clock() as timer:
            build_directory(
                folder,
                lambda target: self._write_evaluation(
                    snapshot, plans, models, candidate, datasets, target
                ),
            )
        handle = Evaluation(
            directory=folder,
            data_version=results_version(folder),
            candidate=candidate,
            base=base,
            incumbent=LIVE if LIVE in models else BASE,
        )
        return Outcome(handle, reused, timer.seconds, evaluation_figures(handle.read()))

    def _incumbent(self, candidate: Gguf, base: Gguf) -> ReleasedModel | None:
        """Return the live model, or the one that the candidate replaced; None for the base model.

        Raises QiPipelineError when the live model's file is not the one that was measured.
        """
        release = self.current_release()
        live = release.live
        if live is not None and live.model_hash == candidate.data_version:
            live = release.fallback
            if live is not None and problem_with(live):
                return None
        if live is None or live.model_hash == base.data_version:
            return None
        problem = problem_with(live)
        if problem:
            raise QiPipelineError(
                f"the live model is broken: {problem}; restore the file, or go on with "
                "`qi promote` (the model on trial) or `qi rollback --to base`"
            )
        return live

    def _write_evaluation(
        self,
        snapshot: Snapshot,
        plans: Sequence[ArmPlan],
        models: Mapping[str, Model],
        candidate: Gguf,
        datasets: DatasetSet,
        target: Path,
    ) -> None:
        with self.judge(snapshot) as judge:
            self_test = self.self_test(snapshot, judge)
            report = self.measure(
                snapshot, plans, judge, models=models, contamination=self._contamination(datasets)
            )
            parity = self._parity(candidate, report, judge)
        write_json(target / "self_test.json", self_test.model_dump(mode="json"))
        write_json(target / "parity.json", parity.model_dump(mode="json"))
        write_report(report, target)
        write_json(
            target / HEADLINE,
            {
                "tasks_hash": report.tasks_hash,
                "arms": [past.model_dump(mode="json") for past in as_past(report, snapshot.commit)],
            },
        )

    def self_test(self, snapshot: Snapshot, judge: Judge) -> SelfTest:
        """Put answers whose worth is known through the instrument; once per suite and library.

        Raises QiPipelineError when a reference of a suite does not pass.
        """
        tasks, general = self.suite(), load_tasks(general_suite())
        key = [
            EVALUATION_VERSION,
            tasks_hash(tasks),
            tasks_hash(general),
            self.library_hash(snapshot),
        ]
        folder = self.settings.cache_dir / "self-tests" / content_hash(key)

        def build(target: Path) -> None:
            self.report(f"testing the instrument on {len(tasks)} references and their mutants")
            check_references(general, judge)
            mutants = make_mutants(
                {task.id: task.reference for task in tasks},
                Toolchain(self.settings.toolchain_dir),
                Sandbox(self.settings.sandbox),
                self.profile,
            )
            found = run_self_test(tasks, mutants, judge)
            write_json(target / "self_test.json", found.model_dump(mode="json"))

        path = build_directory(folder, build) / "self_test.json"
        return SelfTest.model_validate_json(path.read_bytes())

    def evaluate(
        self,
        model: Model,
        *,
        retrieval: bool,
        verification: bool,
        samples: int,
        temperature: float,
        seed: int,
    ) -> EvaluationReport:
        """Measure any one model on the suite: plainly, and in the further ways asked for."""
        model_digest(model)
        if samples > 1 and temperature == 0:
            raise QiPipelineError(
                f"{samples} samples of greedy decoding are one and the same answer; choose a "
                "--temperature above 0"
            )
        if retrieval:
            PatternIndex(self.index_location()).data_version()
        snapshot = self.repo_snapshot().handle
        name = model.path.stem if isinstance(model, LocalModel) else model.model
        how = Verification(best_of=self.settings.evaluation_best_of)
        plans = [ArmPlan(name, model)]
        if retrieval:
            plans.append(ArmPlan(f"{name}+retrieval", model, retrieval=True))
        if verification:
            parts = [name, *(["retrieval"] if retrieval else []), "verification"]
            plans.append(ArmPlan("+".join(parts), model, retrieval, how))
        with self.judge(snapshot) as judge:
            setup = self.setup(snapshot, judge)
            options = setup.options.model_copy(update={"temperature": temperature, "seed": seed})
            setup = replace(setup, options=options, samples=samples)
            return self.measure(snapshot, plans, judge, models={name: model}, setup=setup)

    def check_suite(self, snapshot: Snapshot, tasks: Sequence[Task]) -> SuiteCheck:
        """Say what the tests of a suite are worth."""
        with self.judge(snapshot) as judge:
            return check_suite(tasks, judge, self.report)

    def measure(
        self,
        snapshot: Snapshot,
        plans: Sequence[ArmPlan],
        judge: Judge,
        *,
        models: Mapping[str, Model] | None = None,
        contamination: ContaminationReport | None = None,
        setup: Setup | None = None,
        tasks: Sequence[Task] | None = None,
    ) -> EvaluationReport:
        """Run every arm on the suite, put them side by side.

        models: those that are also asked general TypeScript and the library's own functions, by
        the name of their arm.

        Raises QiPipelineError when a model cannot be used, and SandboxRefusedError when this
        machine refuses to run untrusted code safely.
        """
        tasks = self.suite() if tasks is None else tasks
        general = load_tasks(general_suite()) if models else ()
        setup = setup or self.setup(snapshot, judge)
        references = check_references(tasks, judge)
        arms = []
        for plan in plans:
            self.report(f"arm {plan.name!r}: {len(tasks)} tasks")
            arms.append(run_arm(plan, tasks, setup))
        regression = []
        plainly = replace(setup, system_prompt=GENERAL_SYSTEM_PROMPT)
        for name, model in (models or {}).items():
            self.report(f"general TypeScript, {name} model: {len(general)} tasks")
            regression.append(run_arm(ArmPlan(name, model), general, plainly))
        context = EvaluationContext(
            title=f"How well the model writes {self.profile.name}",
            library=f"{self.profile.name} at {snapshot.commit[:12]} ({snapshot.subject})",
            suite=(self.settings.tasks or bundled_suite()).stem,
            tasks=tuple(tasks),
            general_tasks=general,
            references_passed=len(references),
            measured_at=_now(),
        )
        return evaluation_report(
            arms,
            context,
            regression=regression,
            repository=self._repository_arms(snapshot, models or {}, setup),
            contamination=contamination,
            past=self._past(tasks_hash(tasks)),
        )

    def _repository_arms(
        self, snapshot: Snapshot, models: Mapping[str, Model], setup: Setup
    ) -> list[RepositoryArm]:
        """Return how the models do on the library's own functions; none where nothing is marked."""
        wanted = models and self.settings.evaluation_functions != 0
        marks = self.library_tests(snapshot) if wanted else None
        if marks is None or not marks.count("noticed"):
            return []
        tester = self.function_tester(snapshot)
        tasks = repository_tasks(tester, marks)[: self.settings.evaluation_functions]
        requests = repository_requests(tasks, setup.system_prompt)
        arms = []
        for name, model in models.items():
            self.report(f"the library's own functions, {name} model: {len(tasks)} functions")
            answers = generate_answers(model, requests, setup.options, setup.cache_dir, setup.show)
            by_symbol = {answer.task_id: answer for answer in answers}
            arms.append(score_repository(name, tasks, by_symbol, tester, setup.judge.workers))
        return arms

    def _parity(self, candidate: Gguf, report: EvaluationReport, judge: Judge) -> ParityReport:
        self.report("comparing the exported model with its adapter")
        return check_parity(
            base_model_dir=candidate.base_model_dir,
            adapter_dir=candidate.adapter_dir,
            gguf=candidate.model,
            quantization=candidate.quantization,
            arm={arm.name: arm for arm in report.arms}[TUNED],
            tasks=report.context.tasks,
            judge=judge,
            threads=self.settings.threads,
        )

    def _contamination(self, datasets: DatasetSet) -> ContaminationReport:
        """Return what the datasets had in common with the tasks, and what they still have."""
        found = read_overlaps(datasets.directory)
        remaining = remaining_overlaps(datasets.directory, self.task_texts())
        return ContaminationReport(
            tasks=found.tasks,
            samples=found.samples,
            removed=found.removed,
            remaining=len({row.sample for row in remaining}),
            overlaps=tuple(
                Overlap(
                    task_id=row.task_id, sample=row.sample, jaccard=row.jaccard, shared=row.shared
                )
                for row in (*found.overlaps, *remaining)
            ),
        )

    def _past(self, suite_hash: str) -> list[PastEvaluation]:
        """Return the headlines of earlier evaluations on the same suite, oldest first."""
        found = []
        for path in (self.settings.data_dir / "evaluations").glob(f"[!.]*/{HEADLINE}"):
            headline = json.loads(path.read_text("utf-8"))
            if headline["tasks_hash"] == suite_hash:
                found += [PastEvaluation.model_validate(row) for row in headline["arms"]]
        return sorted(found, key=lambda row: (row.measured_at, row.arm))

    # ── model_release ────────────────────────────────────────────────────────────────────────────

    @property
    def release_pointer(self) -> Path:
        """The file that says which model is live."""
        return self.settings.data_dir / "release.json"

    def current_release(self) -> Release:
        """Return the release pointer; before the first release nothing is live."""
        if not self.release_pointer.is_file():
            return nothing_released()
        try:
            return Release.model_validate_json(self.release_pointer.read_bytes())
        except ValidationError as error:
            raise QiPipelineError(
                f"{self.release_pointer} cannot be read as a release pointer: "
                f"{error.errors()[0]['msg']}; it is of an older version or damaged. Move it away "
                "to start over with nothing released; models and evaluations stay"
            ) from error

    @contextmanager
    def _pointer_held(self) -> Iterator[Release]:
        """Give the pointer to one writer at a time: nobody's rollback is written over."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.settings.data_dir / "release.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.current_release()

    def decide(self, evaluation: Evaluation) -> Decision:
        """Compare the candidate with the incumbent; the one gate of check and release."""
        current = self.current_release()
        candidate = evaluation.candidate.data_version
        if current.live is not None and current.live.model_hash == candidate:
            return Decision(release=True, reason="The candidate is already live.", lines=())
        if candidate in current.rolled_back:
            return _refused("The candidate was taken back by hand; it is not let in again.")
        report = evaluation.read()
        arms = {arm.name: arm for arm in report.arms}
        general = {arm.name: arm for arm in report.regression}
        incumbent = arms[evaluation.incumbent]
        if current.live is not None and incumbent.model_hash != current.live.model_hash:
            return _refused("Another model went live since this evaluation; evaluate again.")
        return decide_release(
            GateEvidence(
                candidate=arms[TUNED],
                incumbent=incumbent,
                candidate_general=general.get(TUNED),
                incumbent_general=general.get(evaluation.incumbent),
                parity=evaluation.parity(),
                self_test=evaluation.self_test(),
            )
        )

    def model_release(self, evaluation: Evaluation) -> Outcome[Release]:
        """Let the candidate in when the gate says so; otherwise keep the live model and say why.

        A candidate that is on trial already stays there, or is withdrawn.
        """
        with clock() as timer, self._pointer_held() as current:
            decision = self.decide(evaluation)
            already = decision.release and current.knows(evaluation.candidate.data_version)
            release = current
            if not already:
                candidate = _released(evaluation.candidate, evaluation)
                base = _released(evaluation.base, evaluation)
                release = (
                    admit(current, candidate, base, decision, self.settings.canary_share)
                    if decision.release
                    else withhold(current, candidate, base, decision)
                )
                self._write_release(release)
        figures = {
            "released": decision.release,
            "reason": decision.reason,
            "lines": {line.name: line.figures for line in decision.lines},
            "live": str(release.live.model) if release.live else "nothing",
            "canary": str(release.canary.model) if release.canary else "nothing",
            "canary_share": release.canary_share,
        }
        return Outcome(release, already, timer.seconds, figures)

    def promote(self) -> Release:
        """Make the canary live. Raises QiPipelineError when there is none."""
        with self._pointer_held() as current:
            return self._write_release(promote(current))

    def roll_back(self, to: Target) -> Release:
        """Go back to the previous or the base model. Raises QiPipelineError when there is none."""
        with self._pointer_held() as current:
            return self._write_release(roll_back(current, to))

    def _write_release(self, release: Release) -> Release:
        write_json(self.release_pointer, release.model_dump(mode="json"))
        return release


def _refused(reason: str) -> Decision:
    return Decision(release=False, reason=reason, lines=())


def _released(model: Gguf, evaluation: Evaluation) -> ReleasedModel:
    return ReleasedModel(
        model=model.model,
        modelfile=model.directory / "Modelfile",
        model_hash=model.data_version,
        released_at=_now(),
        evaluation=evaluation.directory,
    )


def as_past(report: EvaluationReport, commit: str) -> Iterator[PastEvaluation]:
    """Yield the headline of every arm, as later evaluations show it."""
    for arm in report.arms:
        yield PastEvaluation(
            measured_at=report.context.measured_at,
            commit=commit,
            arm=arm.name,
            model_hash=arm.model_hash,
            passes=arm.overall.passes,
            compiles=arm.overall.compiles,
            adheres=arm.overall.adheres,
            tests=arm.overall.tests,
            bleu=arm.overall.bleu,
        )


def evaluation_figures(report: EvaluationReport) -> dict[str, Any]:
    """Return the headline of every arm."""
    figures: dict[str, Any] = {"tasks": report.n}
    for arm in report.arms:
        name = arm.name.replace("+", "_")
        figures[f"{name}_passes"] = arm.overall.passes.count
        figures[f"{name}_compiles"] = arm.overall.compiles.count
        figures[f"{name}_adheres"] = arm.overall.adheres.count
        figures[f"{name}_tests"] = arm.overall.tests.count
        figures[f"{name}_bleu"] = round(arm.overall.bleu, 1)
        figures[f"{name}_chrf"] = round(arm.overall.chrf, 1)
        figures[f"{name}_tokens_per_second"] = round(arm.tokens_per_second.value, 1)
    for arm in report.regression:
        figures[f"{arm.name}_general_tests"] = arm.overall.tests.count
    for repository in report.repository:
        figures[f"{repository.name}_own_functions"] = repository.passed.count
    # What too few tasks leave open has no place among figures that are plotted.
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def results_version(folder: Path) -> str:
    """Hash what an evaluation found, without when and how fast."""
    rows = read_jsonl(folder / "results.jsonl")
    kept = ("suite", "arm", "task_id", "sample", "code", "score")
    return content_hash([{name: row.get(name) for name in kept} for row in rows])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
