"""The commit sensor: once per relevant change, again after a failure, never for nothing."""

from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from git import Actor, Repo
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.defs.automation import (
    ATTEMPT_TAG,
    MAX_ATTEMPTS,
    TREE_TAG,
    Cursor,
    RunFate,
    full_refresh,
    learned_tree,
    next_step,
    only_withheld,
    qicore_commits,
    read_cursor,
)
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.source.upstream import UpstreamState

TREE_A, TREE_B = "a" * 64, "b" * 64
FATES: list[RunFate] = ["none", "running", "succeeded", "failed"]


def upstream(tree: str, commit: str = "c" * 40) -> UpstreamState:
    return UpstreamState(commit=commit, tree_hash=tree)


def test_a_first_look_launches_once() -> None:
    step = next_step(Cursor(), upstream(TREE_A), "none", learned=None)
    assert step.run_key == f"1-{TREE_A}-1"
    again = next_step(step.cursor, upstream(TREE_A), "running", learned=None)
    assert again.run_key is None


def test_a_tree_learned_by_hand_is_not_learned_again() -> None:
    step = next_step(Cursor(), upstream(TREE_A), "none", learned=TREE_A)
    assert step.run_key is None
    assert next_step(step.cursor, upstream(TREE_B), "none", TREE_A).run_key == f"1-{TREE_B}-1"


def test_a_commit_without_a_relevant_change_launches_nothing() -> None:
    cursor = Cursor(TREE_A, 1)
    step = next_step(cursor, upstream(TREE_A, commit="d" * 40), "succeeded", learned=TREE_A)
    assert step.run_key is None
    assert step.cursor == cursor


def test_a_failed_change_is_retried_under_a_new_key_and_given_up_in_the_end() -> None:
    cursor, keys = Cursor(TREE_A, 1), []
    for _ in range(10):
        step = next_step(cursor, upstream(TREE_A), "failed", learned=None)
        cursor = step.cursor
        if step.run_key is not None:
            keys.append(step.run_key)
    assert keys == [f"{n - 1}-{TREE_A}-{n}" for n in range(2, MAX_ATTEMPTS + 1)]


def test_a_new_change_after_giving_up_starts_anew() -> None:
    step = next_step(Cursor(TREE_A, MAX_ATTEMPTS), upstream(TREE_B), "failed", learned=None)
    assert step.run_key == f"1-{TREE_B}-1"


def test_a_revert_upstream_is_learned_again() -> None:
    cursor, keys = Cursor(), []
    for tree in (TREE_A, TREE_B, TREE_A):
        step = next_step(cursor, upstream(tree), "succeeded", learned=None)
        cursor = step.cursor
        keys.append(step.run_key)
    assert None not in keys
    assert len(set(keys)) == 3


@given(st.lists(st.tuples(st.sampled_from([TREE_A, TREE_B, "c" * 64]), st.sampled_from(FATES))))
def test_no_two_launches_share_a_run_key(ticks: list[tuple[str, RunFate]]) -> None:
    cursor, keys = Cursor(), []
    for tree, fate in ticks:
        step = next_step(cursor, upstream(tree), fate, learned=None)
        if step.run_key is not None:
            keys.append(step.run_key)
        cursor = read_cursor(step.cursor.dump())
        assert cursor == step.cursor
    assert len(set(keys)) == len(keys)


AUTHOR = Actor("Tester", "tester@example.invalid")


@pytest.fixture
def library(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "library", initial_branch="main")
    commit(repo, "lib/base/src/index.ts", "export const success = 1;\n")
    return repo


def commit(repo: Repo, path: str, text: str) -> None:
    file = Path(repo.working_dir) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    repo.index.add([path])
    repo.index.commit(path, author=AUTHOR, committer=AUTHOR)


def tick(repo: Repo, instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult:
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        resources={"pipeline": PipelineResource(source=str(repo.working_dir))},
    )
    result = qicore_commits(context)
    assert isinstance(result, dg.SensorResult)
    return result


def requests(result: dg.SensorResult) -> list[dg.RunRequest]:
    return list(result.run_requests or [])


def test_the_sensor_follows_a_real_repository(
    library: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QI_DATA_DIR", str(tmp_path / "data"))
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(library, instance, None)
        assert len(requests(first)) == 1
        assert not requests(tick(library, instance, first.cursor))
        commit(library, "README.md", "words only\n")
        assert not requests(tick(library, instance, first.cursor))
        commit(library, "lib/base/src/index.ts", "export const success = 2;\n")
        second = tick(library, instance, first.cursor)
        assert len(requests(second)) == 1
        assert requests(second)[0].run_key != requests(first)[0].run_key


def test_the_sensor_retries_a_failed_run(
    library: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QI_DATA_DIR", str(tmp_path / "data"))
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(library, instance, None)
        request = requests(first)[0]
        run = dg.DagsterRun(
            job_name=full_refresh.name, tags=dict(request.tags), status=DagsterRunStatus.FAILURE
        )
        instance.add_run(run)
        retry = requests(tick(library, instance, first.cursor))
        assert [r.tags[ATTEMPT_TAG] for r in retry] == ["2"]
        assert retry[0].tags[TREE_TAG] == request.tags[TREE_TAG]


def withheld_run(instance: dg.DagsterInstance, *, check_fails: bool) -> dg.DagsterRun:
    """Return a run in which the release gate said no, or broke down."""

    @dg.asset
    def evaluation_report() -> None:
        """Stand in for the real asset: only the gate's events matter here."""

    @dg.asset_check(asset=evaluation_report, blocking=True)
    def candidate_is_not_worse() -> dg.AssetCheckResult:
        if check_fails:
            return dg.AssetCheckResult(passed=False)
        raise RuntimeError("the gate broke down")

    definitions = dg.Definitions(assets=[evaluation_report], asset_checks=[candidate_is_not_worse])
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run


@pytest.mark.parametrize(("check_fails", "withheld"), [(True, True), (False, False)])
def test_a_refused_release_is_no_failed_change_but_a_broken_gate_is(
    check_fails: bool, withheld: bool
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = withheld_run(instance, check_fails=check_fails)
        assert run.is_failure
        assert only_withheld(instance, run.run_id) is withheld


def test_an_unreachable_upstream_fails_the_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QI_DATA_DIR", str(tmp_path / "data"))
    resource = PipelineResource(source=str(tmp_path / "nowhere"))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, cursor=None, resources={"pipeline": resource}
        )
        with pytest.raises(Exception, match="nowhere"):
            qicore_commits(context)


def test_the_learned_tree_is_the_data_version_of_the_snapshot() -> None:
    @dg.asset
    def repo_snapshot() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(data_version=dg.DataVersion(TREE_A))

    with dg.DagsterInstance.ephemeral() as instance:
        assert learned_tree(instance) is None
        dg.materialize([repo_snapshot], instance=instance)
        assert learned_tree(instance) == TREE_A
