"""When the pipeline runs by itself: jobs, the nightly schedule, the sensor on upstream commits.

The sensor's decision is a pure function of its cursor, the upstream tree and the last run's fate.
"""

import json
from dataclasses import asdict, dataclass
from typing import Literal

import dagster as dg

from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.source.upstream import UpstreamState

MAX_ATTEMPTS = 3
TREE_TAG = "qi/tree_hash"
COMMIT_TAG = "qi/commit"
ATTEMPT_TAG = "qi/attempt"
LAUNCH_TAG = "qi/launch"
GATE_STEP = "evaluation_report_candidate_is_not_worse"

_DATA = dg.AssetSelection.assets(
    "repo_snapshot",
    "patterns",
    "validated_patterns",
    "training_datasets",
    "pattern_index",
    "pattern_evolution",
)

refresh_data = dg.define_asset_job(
    "refresh_data",
    selection=_DATA,
    description="Snapshot, patterns, verdicts, datasets, index and evolution; no training.",
)
train_and_evaluate = dg.define_asset_job(
    "train_and_evaluate",
    selection=dg.AssetSelection.all() - _DATA,
    description="Adapter, GGUF, evaluation and release from the latest datasets.",
)
full_refresh = dg.define_asset_job(
    "full_refresh",
    selection=dg.AssetSelection.all(),
    description="From source to released model; stages whose input is unchanged are reused.",
)

nightly_full_refresh = dg.ScheduleDefinition(
    name="nightly_full_refresh",
    job=full_refresh,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    description="Refreshes everything at 02:00 UTC; an unchanged library costs seconds.",
)

RunFate = Literal["none", "running", "succeeded", "failed"]


@dataclass(frozen=True)
class Cursor:
    """The last change the sensor asked a run for."""

    tree_hash: str | None = None
    attempt: int = 0
    launch: int = 0
    """Runs asked for so far: it keeps run keys apart when a tree comes back after a revert."""

    def dump(self) -> str:
        """Return the cursor as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def read_cursor(text: str | None) -> Cursor:
    """Return the stored cursor; the initial one when there is none."""
    return Cursor(**json.loads(text)) if text else Cursor()


@dataclass(frozen=True)
class Step:
    """What one tick of the sensor does: the next cursor, and a run or the reason for none."""

    cursor: Cursor
    run_key: str | None
    reason: str


def next_step(cursor: Cursor, upstream: UpstreamState, fate: RunFate, learned: str | None) -> Step:
    """Decide one tick.

    `fate` is what became of the run of `cursor`; `learned` is the tree hash of the snapshot that
    is materialized now. One run per change of the relevant tree; a failed change is tried again,
    under a new run key, up to `MAX_ATTEMPTS` times.
    """
    tree = upstream.tree_hash
    if cursor.tree_hash != tree:
        if cursor.tree_hash is None and learned == tree:
            return Step(Cursor(tree), None, "the present tree is already learned")
        return _launch(tree, 1, cursor, f"new relevant tree at commit {upstream.commit[:12]}")
    if fate != "failed":
        return Step(cursor, None, f"nothing relevant changed (commit {upstream.commit[:12]})")
    if cursor.attempt >= MAX_ATTEMPTS:
        return Step(cursor, None, f"gave up on this tree after {cursor.attempt} failed attempts")
    return _launch(tree, cursor.attempt + 1, cursor, "the last attempt failed")


def _launch(tree: str, attempt: int, last: Cursor, reason: str) -> Step:
    cursor = Cursor(tree, attempt, last.launch + 1)
    return Step(cursor, f"{cursor.launch}-{tree}-{attempt}", reason)


@dg.sensor(
    job=full_refresh,
    minimum_interval_seconds=60,
    description="Runs full_refresh once per change of the relevant files upstream.",
)
def qicore_commits(
    context: dg.SensorEvaluationContext, pipeline: PipelineResource
) -> dg.SensorResult:
    """Watch the upstream branch; errors in reaching it fail the tick and leave the cursor alone."""
    cursor = read_cursor(context.cursor)
    upstream = pipeline.stages(context.log).upstream()
    fate = run_fate(context.instance, cursor)
    step = next_step(cursor, upstream, fate, learned_tree(context.instance))
    if step.run_key is None:
        return dg.SensorResult(skip_reason=dg.SkipReason(step.reason), cursor=step.cursor.dump())
    context.log.info(step.reason)
    tags = {
        TREE_TAG: upstream.tree_hash,
        COMMIT_TAG: upstream.commit,
        ATTEMPT_TAG: str(step.cursor.attempt),
        LAUNCH_TAG: str(step.cursor.launch),
    }
    request = dg.RunRequest(run_key=step.run_key, tags=tags)
    return dg.SensorResult(run_requests=[request], cursor=step.cursor.dump())


def run_fate(instance: dg.DagsterInstance, cursor: Cursor) -> RunFate:
    """Return what became of the run that the cursor stands for.

    A run that only the release gate stopped has done its work: the model was measured and found
    worse, and trying again would measure the same.
    """
    if cursor.tree_hash is None or cursor.attempt == 0:
        return "none"
    tags = {TREE_TAG: cursor.tree_hash, LAUNCH_TAG: str(cursor.launch)}
    runs = instance.get_runs(dg.RunsFilter(tags=tags), limit=1)
    if not runs:
        return "none"
    run = runs[0]
    if run.is_failure_or_canceled:
        return "succeeded" if only_withheld(instance, run.run_id) else "failed"
    return "succeeded" if run.is_success else "running"


def only_withheld(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Tell whether a run failed because the release gate said no, and for nothing else."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    records = instance.get_records_for_run(run_id, of_type=kinds).records
    events = [e for r in records if (e := r.event_log_entry.dagster_event) is not None]
    failed = {e.step_key for e in events if e.event_type == dg.DagsterEventType.STEP_FAILURE}
    return failed == {GATE_STEP} and any(gate_said_no(event) for event in events)


def gate_said_no(event: dg.DagsterEvent) -> bool:
    """Tell whether an event is the release gate's verdict against the candidate."""
    if event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return False
    return event.step_key == GATE_STEP and not event.asset_check_evaluation_data.passed


def learned_tree(instance: dg.DagsterInstance) -> str | None:
    """Return the data version of the latest `repo_snapshot`, which is its tree hash."""
    event = instance.get_latest_materialization_event(dg.AssetKey("repo_snapshot"))
    materialization = event.asset_materialization if event is not None else None
    tags = (materialization.tags or {}) if materialization is not None else {}
    return tags.get("dagster/data_version")
