"""The release pointer: it moves only forward, remembers the fallback, and says why it stays."""

from pathlib import Path

import pytest

from qi_pipeline.artefacts import write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.report import EvaluationContext, evaluation_report, write_report
from qi_pipeline.handles import Evaluation, Gguf
from qi_pipeline.settings import Settings
from qi_pipeline.stages import Pipeline
from qi_pipeline_tests.evaluation.samples import GOOD, USELESS, make_arm, make_task

TASKS = ("a", "b", "c")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(Settings(data_dir=tmp_path / "data"))


def answers(good: int) -> dict[str, str]:
    return {task: GOOD if index < good else USELESS for index, task in enumerate(TASKS)}


def evaluated(pipeline: Pipeline, name: str, good: int, incumbent: str, old: int) -> Evaluation:
    """Return the evaluation of candidate `name` with `good` passes against one with `old`."""
    folder = pipeline.settings.data_dir / "models" / name
    write_text(folder / "qi-expert.gguf", name)
    candidate = Gguf(
        directory=folder, data_version=name, quantization="q8_0", base_model_dir=folder
    )
    live = pipeline.current_release().live
    measured = live.model_hash if live is not None and incumbent == "live" else incumbent
    arms = [
        make_arm(incumbent, answers(old)).model_copy(update={"model_hash": measured}),
        make_arm("tuned", answers(good)),
    ]
    context = EvaluationContext(
        title="t",
        library="l",
        suite="s",
        tasks=tuple(make_task(task) for task in TASKS),
        references_passed=len(TASKS),
        measured_at="2026-01-01T00:00:00+00:00",
    )
    directory = pipeline.settings.data_dir / "evaluations" / name
    write_report(evaluation_report(arms, context), directory)
    return Evaluation(
        directory=directory, data_version=name, candidate=candidate, incumbent=incumbent
    )


def test_nothing_is_live_before_the_first_release(pipeline: Pipeline) -> None:
    assert pipeline.current_release().live is None


def test_the_first_candidate_that_is_not_worse_than_the_base_becomes_live(
    pipeline: Pipeline,
) -> None:
    outcome = pipeline.model_release(evaluated(pipeline, "one", 2, "base", 1))
    live = outcome.handle.live
    assert live is not None
    assert live.model_hash == "one"
    assert pipeline.current_release() == outcome.handle


def test_a_worse_candidate_leaves_the_live_model_and_says_why(pipeline: Pipeline) -> None:
    first = pipeline.model_release(evaluated(pipeline, "one", 2, "base", 1)).handle
    worse = evaluated(pipeline, "two", 1, "live", 2)
    assert not pipeline.decide(worse).release
    after = pipeline.model_release(worse).handle
    assert after.live == first.live
    assert after.candidate == worse.candidate.model
    assert "fewer" in after.decision.reason


def test_a_better_candidate_replaces_the_live_model_which_becomes_the_fallback(
    pipeline: Pipeline,
) -> None:
    first = pipeline.model_release(evaluated(pipeline, "one", 1, "base", 1)).handle
    second = pipeline.model_release(evaluated(pipeline, "two", 3, "live", 1)).handle
    assert second.live is not None
    assert second.live.model_hash == "two"
    assert second.fallback == first.live


def test_releasing_the_live_model_again_changes_nothing(pipeline: Pipeline) -> None:
    evaluation = evaluated(pipeline, "one", 2, "base", 1)
    first = pipeline.model_release(evaluation)
    again = pipeline.model_release(evaluation)
    assert not first.reused
    assert again.reused
    assert again.handle == first.handle
    assert pipeline.decide(evaluation).release


def test_an_evaluation_against_a_model_that_is_no_longer_live_decides_nothing(
    pipeline: Pipeline,
) -> None:
    pipeline.model_release(evaluated(pipeline, "one", 1, "base", 1))
    stale = evaluated(pipeline, "two", 2, "live", 1)
    pipeline.model_release(evaluated(pipeline, "three", 3, "live", 1))
    assert not pipeline.decide(stale).release
    assert "evaluate again" in pipeline.decide(stale).reason


def test_an_unknown_quantization_is_refused_before_any_work(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path).model_copy(update={"quantization": "q9"})
    with pytest.raises(QiPipelineError, match=r"q9.*q8_0"):
        Pipeline(settings).require_usable()


def test_a_toolchain_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path).model_copy(update={"toolchain_dir": tmp_path / "none"})
    with pytest.raises(QiPipelineError, match="make setup"):
        Pipeline(settings).require_usable()
