"""Which arms are measured; the release pointer moves only when the gate says so."""

from pathlib import Path
from typing import Any

import pytest

from qi_pipeline.artefacts import file_hash, write_json, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.generation import LocalModel
from qi_pipeline.evaluation.report import EvaluationContext, evaluation_report, write_report
from qi_pipeline.handles import Evaluation, Gguf
from qi_pipeline.settings import ARMS, Settings
from qi_pipeline.stages import BASE, HEADLINE, TUNED, Pipeline, as_past, results_version
from qi_pipeline_tests.evaluation.samples import GOOD, USELESS, make_arm, make_task
from qi_pipeline_tests.evaluation.test_gate import parity, self_test

TASKS = tuple(make_task(f"task-{number}") for number in range(10))
GENERAL = tuple(make_task(f"general-{number}", pattern_type=None) for number in range(5))


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(Settings(data_dir=tmp_path / "data"))


def answers(good: int) -> dict[str, str]:
    return {task.id: GOOD if index < good else USELESS for index, task in enumerate(TASKS)}


def gguf(pipeline: Pipeline, name: str) -> Gguf:
    folder = pipeline.settings.data_dir / "models" / name
    model = write_text(folder / "qi-expert.gguf", name)
    return Gguf(
        directory=folder,
        data_version=file_hash(model),
        quantization="q8_0",
        base_model_dir=folder,
        adapter_dir=None,
    )


def evaluated(
    pipeline: Pipeline, name: str, good: int, incumbent: str, old: int, *, holds: bool = True
) -> Evaluation:
    """Return the evaluation of candidate `name` with `good` passes against one with `old`."""
    candidate, base = gguf(pipeline, name), gguf(pipeline, "base")
    live = pipeline.current_release().live
    measured = live.model_hash if live is not None and incumbent == "live" else base.data_version
    arms = [
        make_arm(incumbent, answers(old), TASKS).model_copy(update={"model_hash": measured}),
        make_arm("tuned", answers(good), TASKS).model_copy(
            update={"model_hash": candidate.data_version}
        ),
    ]
    general = [
        make_arm(arm.name, {task.id: GOOD for task in GENERAL}, GENERAL).model_copy(
            update={"model_hash": arm.model_hash}
        )
        for arm in arms
    ]
    context = EvaluationContext(
        title="t",
        library="l",
        suite="s",
        tasks=TASKS,
        general_tasks=GENERAL,
        references_passed=len(TASKS),
        measured_at="2026-01-01T00:00:00+00:00",
    )
    directory = pipeline.settings.data_dir / "evaluations" / name
    report = evaluation_report(arms, context, regression=general)
    write_report(report, directory)
    write_json(directory / "parity.json", parity(holds=holds).model_dump(mode="json"))
    write_json(directory / "self_test.json", self_test().model_dump(mode="json"))
    rows = [row.model_dump(mode="json") for row in as_past(report, "commit")]
    write_json(directory / HEADLINE, {"tasks_hash": report.tasks_hash, "arms": rows})
    return Evaluation(
        directory=directory,
        data_version=name,
        candidate=candidate,
        base=base,
        incumbent=incumbent,
    )


def test_nothing_is_live_before_the_first_release(pipeline: Pipeline) -> None:
    assert pipeline.current_release().live is None
    assert pipeline.current_release().canary is None


def test_the_first_candidate_that_passes_the_gate_goes_on_trial_and_is_promoted(
    pipeline: Pipeline,
) -> None:
    one = evaluated(pipeline, "one", 8, "base", 2)
    release = pipeline.model_release(one).handle
    assert release.live is None
    assert release.canary is not None
    assert release.canary.model_hash == one.candidate.data_version
    assert release.canary_share == pipeline.settings.canary_share
    assert pipeline.current_release() == release
    promoted = pipeline.promote()
    assert promoted.live == release.canary
    assert pipeline.current_release() == promoted


def test_a_worse_candidate_leaves_everything_and_says_which_line_failed(
    pipeline: Pipeline,
) -> None:
    pipeline.model_release(evaluated(pipeline, "one", 8, "base", 2))
    before = pipeline.promote()
    worse = evaluated(pipeline, "two", 2, "live", 8)
    assert not pipeline.decide(worse).release
    after = pipeline.model_release(worse).handle
    assert after.live == before.live
    assert after.canary is None
    assert after.candidate == worse.candidate.model
    assert "headline" in after.decision.reason


def test_a_file_that_is_not_like_its_adapter_is_held_back(pipeline: Pipeline) -> None:
    decision = pipeline.decide(evaluated(pipeline, "one", 8, "base", 2, holds=False))
    assert not decision.release
    assert "parity" in decision.reason


def test_a_better_candidate_replaces_the_live_model_which_becomes_the_fallback(
    pipeline: Pipeline,
) -> None:
    pipeline.model_release(evaluated(pipeline, "one", 2, "base", 2))
    first = pipeline.promote()
    pipeline.model_release(evaluated(pipeline, "two", 9, "live", 2))
    second = pipeline.promote()
    assert second.live is not None
    assert second.live.model.parent.name == "two"
    assert second.fallback == first.live


def test_without_a_share_for_trials_a_candidate_is_live_at_once(tmp_path: Path) -> None:
    pipeline = Pipeline(Settings(data_dir=tmp_path / "data", canary_share=0.0))
    release = pipeline.model_release(evaluated(pipeline, "one", 8, "base", 2)).handle
    assert release.live is not None
    assert release.canary is None


def test_releasing_the_model_on_trial_again_changes_nothing(pipeline: Pipeline) -> None:
    evaluation = evaluated(pipeline, "one", 8, "base", 2)
    first = pipeline.model_release(evaluation)
    again = pipeline.model_release(evaluation)
    assert not first.reused
    assert again.reused
    assert again.handle == first.handle
    assert pipeline.decide(evaluation).release


def test_a_model_on_trial_that_measures_worse_later_is_withdrawn(pipeline: Pipeline) -> None:
    pipeline.model_release(evaluated(pipeline, "live", 8, "base", 2))
    before = pipeline.promote()
    admitted = pipeline.model_release(evaluated(pipeline, "one", 8, "live", 8)).handle
    assert admitted.canary is not None
    worse = evaluated(pipeline, "one", 2, "live", 8)
    assert worse.candidate.data_version == admitted.canary.model_hash
    outcome = pipeline.model_release(worse)
    assert not outcome.reused
    assert outcome.handle.canary is None
    assert outcome.handle.live == before.live
    assert "headline" in outcome.handle.decision.reason
    assert pipeline.model_release(evaluated(pipeline, "one", 8, "live", 8)).handle.canary


def test_what_was_taken_back_is_not_let_in_again(pipeline: Pipeline) -> None:
    evaluation = evaluated(pipeline, "one", 8, "base", 2)
    pipeline.model_release(evaluation)
    pipeline.roll_back("previous")
    assert pipeline.current_release().canary is None
    assert not pipeline.decide(evaluation).release
    after = pipeline.model_release(evaluation).handle
    assert after.canary is None
    assert "taken back" in after.decision.reason


def test_the_base_model_is_one_step_away(pipeline: Pipeline) -> None:
    evaluation = evaluated(pipeline, "one", 8, "base", 2)
    pipeline.model_release(evaluation)
    pipeline.promote()
    release = pipeline.roll_back("base")
    assert release.live is not None
    assert release.live.model_hash == evaluation.base.data_version


def test_an_evaluation_against_a_model_that_is_no_longer_live_decides_nothing(
    pipeline: Pipeline,
) -> None:
    pipeline.model_release(evaluated(pipeline, "one", 2, "base", 2))
    pipeline.promote()
    stale = evaluated(pipeline, "two", 8, "live", 2)
    pipeline.model_release(evaluated(pipeline, "three", 9, "live", 2))
    pipeline.promote()
    assert not pipeline.decide(stale).release
    assert "evaluate again" in pipeline.decide(stale).reason


def test_a_pointer_that_cannot_be_read_is_named(pipeline: Pipeline) -> None:
    write_text(pipeline.release_pointer, '{"live": 1}')
    with pytest.raises(QiPipelineError, match=r"release\.json cannot be read.*Move it away"):
        pipeline.current_release()


def test_equal_results_have_one_version_whenever_and_however_fast_they_came(
    pipeline: Pipeline,
) -> None:
    one = evaluated(pipeline, "one", 8, "base", 2).directory
    version = results_version(one)
    assert version == results_version(evaluated(pipeline, "two", 8, "base", 2).directory)
    assert version != results_version(evaluated(pipeline, "three", 7, "base", 2).directory)


def test_an_unknown_quantization_is_refused_before_any_work(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path).model_copy(update={"quantization": "q9"})
    with pytest.raises(QiPipelineError, match=r"q9.*q8_0"):
        Pipeline(settings).require_usable()


def test_a_toolchain_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path).model_copy(update={"toolchain_dir": tmp_path / "none"})
    with pytest.raises(QiPipelineError, match="make setup"):
        Pipeline(settings).require_usable()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"preset": "embedded"}, ("base", "tuned")),
        ({"preset": "workstation"}, ARMS),
        ({"preset": "embedded", "evaluation_arms": ARMS}, ARMS),
        ({"evaluation_arms": ("tuned+retrieval",)}, ("base", "tuned", "tuned+retrieval")),
    ],
)
def test_the_preset_says_which_arms_are_measured_unless_the_settings_do(
    tmp_path: Path, changes: dict[str, Any], names: tuple[str, ...]
) -> None:
    pipeline = Pipeline(Settings(data_dir=tmp_path / "data", **changes))
    models = {name: LocalModel(tmp_path / name) for name in (BASE, TUNED)}
    assert tuple(plan.name for plan in pipeline.arm_plans(models)) == names
