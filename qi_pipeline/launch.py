"""Run a whole job in this process, on the same instance as the UI, and say what came of it.

Flows in: a job name and the choices of a run. Flows out: a few lines a person wants. The stages'
own progress is printed while they run.
"""

import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import dagster as dg
from pydantic import BaseModel

from qi_pipeline.definitions import defs
from qi_pipeline.defs.automation import GATE_STEP, gate_said_no
from qi_pipeline.defs.resources import handle_path
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.handles import Evaluation, PatternSet, ValidatedSet
from qi_pipeline.processes import is_alive
from qi_pipeline.settings import PROJECT_ROOT, Settings
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.stages import Pipeline
from qi_pipeline.validation.patterns import grading_figures

Handle = TypeVar("Handle", bound=BaseModel)

_PID_TAG = "qi/pid"
_REASONS_SHOWN = 8


@dataclass
class _Progress:
    """What the materializations of one run say."""

    reused: dict[str, bool] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Step key to message; the release gate's verdict is no failure."""
    withheld: bool = False
    """Whether the release gate held the candidate back."""


def launch(
    job_name: str,
    source: str | None,
    revision: str | None,
    preset: str | None,
    base_model: str | None,
    quantization: str | None,
) -> str:
    """Run the job and return its summary.

    Raises QiPipelineError with the first failed stage's own message. A candidate that the release
    gate holds back is no failure: the summary says why.
    """
    choices = {
        "source": source,
        "revision": revision,
        "preset": preset,
        "base_model": base_model,
        "quantization": quantization,
    }
    settings = Settings().model_copy(update={k: v for k, v in choices.items() if v is not None})
    if job_name == "train_and_evaluate" and (source is not None or revision is not None):
        raise QiPipelineError(
            "train_and_evaluate uses the latest datasets; run refresh_data or full_refresh with "
            "--source or --revision instead"
        )
    Pipeline(settings).require_usable()
    # Pipes is pinned; that parts of it may change in a later version helps no reader of a run.
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    started = time.monotonic()
    with _instance(settings) as instance:
        close_abandoned_runs(instance)
        _require_alone(instance)
        result = _job(job_name).execute_in_process(
            instance=instance,
            run_config={
                "resources": {"pipeline": {"config": choices}},
                "loggers": {"terminal": {}},
            },
            tags={_PID_TAG: str(os.getpid())},
            raise_on_error=False,
        )
        progress = _read_events(result.all_events)
    for step, message in progress.failed.items():
        raise QiPipelineError(f"{step} failed: {message}")
    if not result.success and not progress.withheld:
        raise QiPipelineError(f"run {result.run_id} ended without a result; see it in the UI")
    return summarize(Pipeline(settings), progress.reused, time.monotonic() - started)


def _job(name: str) -> dg.JobDefinition:
    loaded = defs()
    known = sorted(job.name for job in loaded.get_repository_def().get_all_jobs())
    shown = [job for job in known if not job.startswith("__")]
    if name not in shown:
        raise QiPipelineError(f"unknown job {name!r}; known: {', '.join(shown)}")
    return loaded.resolve_job_def(name)


def _instance(settings: Settings) -> dg.DagsterInstance:
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home / "dagster.yaml")
    return dg.DagsterInstance.from_config(str(home))


_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def _require_alone(instance: dg.DagsterInstance) -> None:
    """Refuse to run beside another run: both would hand on their results under the same names."""
    running = instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY), limit=1)
    if running:
        raise QiPipelineError(
            f"run {running[0].run_id} of {running[0].job_name} is under way; wait for it, or end "
            "it in the UI (make dev), then run again"
        )


def close_abandoned_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs of this command whose process is gone (killed, power cut) as failed.

    Returns how many there were; without this they would stay "started" for ever.
    """
    closed = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY)):
        pid = run.tags.get(_PID_TAG)
        if pid is not None and not is_alive(int(pid)):
            instance.report_run_failed(run, "the process of this run is gone")
            # A killed step still holds its pool; the daemon that would free it may not be running.
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            closed += 1
    return closed


def _read_events(events: Sequence[dg.DagsterEvent]) -> _Progress:
    progress = _Progress()
    for event in events:
        if gate_said_no(event):
            progress.withheld = True
        elif event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            reused = materialization.metadata.get("reused")
            if reused is not None:
                progress.reused[materialization.asset_key.path[-1]] = bool(reused.value)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed and event.step_key is not None:
                progress.failed[event.step_key] = f"{check.description or 'no reason was given'}"
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE and event.step_key is not None:
            progress.failed.setdefault(event.step_key, _failure_message(event))
    if progress.withheld:
        progress.failed.pop(GATE_STEP, None)
    return progress


def _failure_message(event: dg.DagsterEvent) -> str:
    """Return the stage's own words where it has some, else the innermost cause with its trace."""
    error = event.step_failure_data.error
    if error is None:
        return "no error was recorded"
    own = _names_of_own_errors()
    while error.cause is not None and error.cls_name not in own:
        error = error.cause
    if error.cls_name in own:
        return error.message.partition(": ")[2].strip()
    return error.to_string()


def _names_of_own_errors() -> set[str]:
    found, waiting = set(), [QiPipelineError]
    while waiting:
        kind = waiting.pop()
        found.add(kind.__name__)
        waiting.extend(kind.__subclasses__())
    return found


def summarize(pipeline: Pipeline, reused: Mapping[str, bool], seconds: float) -> str:
    """Return what was learned, kept, rejected, measured and released, and what to try next."""
    return "\n".join(["", *_summary_lines(pipeline, reused, seconds), ""])


def _summary_lines(pipeline: Pipeline, reused: Mapping[str, bool], seconds: float) -> Iterator[str]:
    made = [asset for asset, was_reused in reused.items() if not was_reused]
    if reused and not made:
        yield f"Nothing to do: all {len(reused)} assets were up to date ({seconds:.0f} s)."
    else:
        yield f"Made {len(made)} of {len(reused)} assets in {seconds:.0f} s: {', '.join(made)}."
    snapshot = _read(Snapshot, "repo_snapshot")
    yield (
        f"Learned from  {snapshot.source} at {snapshot.commit[:12]} "
        f'"{snapshot.subject}" ({len(snapshot.files)} files)'
    )
    yield from _pattern_lines()
    if "evaluation_report" in reused:
        yield from _model_lines(pipeline)
    yield f'Next          {_command()} search "load a config and log it" -k 3     (or: make dev)'


def _command() -> str:
    """Return how this program was called, so that the next command can be called alike."""
    called = Path(sys.argv[0])
    return sys.argv[0] if called.name == "qi" else "qi"


def _pattern_lines() -> Iterator[str]:
    found = _read(PatternSet, "patterns")
    figures = grading_figures(_read(ValidatedSet, "validated_patterns").read())
    yield (
        f"Patterns      {figures['rows']} found, {figures['kept']} kept, "
        f"{figures['repaired']} repaired, {figures['review']} to review, "
        f"{figures['rejected']} rejected   {found.directory}"
    )
    reasons = list(figures["reasons"].items())
    shown = ", ".join(f"{name} {count}" for name, count in reasons[:_REASONS_SHOWN])
    rest = len(reasons) - _REASONS_SHOWN
    if shown:
        yield f"  reasons       {shown}{f', and {rest} more kinds' if rest > 0 else ''}"
    for item in found.unreadable():
        yield f"  not read      {item['file']}:{item['line']}: {item['reason']}"


def _model_lines(pipeline: Pipeline) -> Iterator[str]:
    evaluation = _read(Evaluation, "evaluation_report")
    report = evaluation.read()
    yield (
        f"Scores        on {report.n} tasks{'pass':>22}{'compile':>9}{'adhere':>8}{'tests':>7}"
        f"{'BLEU':>7}{'tokens/s':>10}"
    )
    for arm in report.arms:
        overall = arm.overall
        yield (
            f"  {arm.name:<38}{overall.passes.count:>6}{overall.compiles.count:>9}"
            f"{overall.adheres.count:>8}{overall.tests.count:>7}{overall.bleu:>7.1f}"
            f"{arm.tokens_per_second.value:>10.1f}"
        )
    release = pipeline.current_release()
    known = release.knows(evaluation.candidate.data_version) and release.decision.release
    decision = release.decision if known else pipeline.decide(evaluation)
    yield f"Release       {'' if decision.release else 'withheld: '}{decision.reason}"
    yield f"  live          {release.live.model if release.live else 'no model yet'}"
    if release.canary is not None:
        yield (
            f"  on trial      {release.canary.model} ({release.canary_share:.0%} of the traffic; "
            "`qi promote` makes it live, `qi rollback` takes it back)"
        )
    yield f"Report        {evaluation.directory / 'report.html'}"
    yield f"GGUF          {evaluation.candidate.model}"
    yield f"Modelfile     {evaluation.candidate.directory / 'Modelfile'}"


def _read(model: type[Handle], asset: str) -> Handle:
    return model.model_validate_json(handle_path(asset).read_text("utf-8"))
