"""Who answers whom: every step and every way back, with files that are checked."""

from pathlib import Path
from typing import get_args

import pytest

from qi_pipeline.artefacts import file_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.gate import Decision
from qi_pipeline.release import (
    Release,
    ReleasedModel,
    Target,
    admit,
    broken_models,
    nothing_released,
    promote,
    roll_back,
    withhold,
)

YES = Decision(release=True, reason="better", lines=())
NO = Decision(release=False, reason="worse", lines=())


def model(folder: Path, name: str) -> ReleasedModel:
    path = folder / name / "qi-expert.gguf"
    path.parent.mkdir(exist_ok=True)
    path.write_text(name, encoding="utf-8")
    return ReleasedModel(
        model=path,
        modelfile=path.parent / "Modelfile",
        model_hash=file_hash(path),
        released_at="2026-01-01T00:00:00+00:00",
        evaluation=folder / "evaluation",
    )


@pytest.fixture
def base(tmp_path: Path) -> ReleasedModel:
    return model(tmp_path, "base")


def admitted(current: Release, new: ReleasedModel, base: ReleasedModel) -> Release:
    return admit(current, new, base, YES, 0.1)


def test_a_model_that_passed_is_first_on_trial_with_its_share(
    tmp_path: Path, base: ReleasedModel
) -> None:
    one = model(tmp_path, "one")
    release = admitted(nothing_released(), one, base)
    assert (release.live, release.canary, release.canary_share) == (None, one, 0.1)
    assert release.base == base
    assert release.knows(one.model_hash)
    assert release.decision == YES


def test_without_a_share_it_is_live_at_once(tmp_path: Path, base: ReleasedModel) -> None:
    one = model(tmp_path, "one")
    release = admit(nothing_released(), one, base, YES, 0.0)
    assert (release.live, release.canary, release.canary_share) == (one, None, 0.0)
    assert roll_back(release, "previous").live == base


def test_promotion_makes_the_canary_live_and_keeps_the_model_before(
    tmp_path: Path, base: ReleasedModel
) -> None:
    one, two = model(tmp_path, "one"), model(tmp_path, "two")
    first = promote(admitted(nothing_released(), one, base))
    assert (first.live, first.canary, first.fallback) == (one, None, base)
    second = promote(admitted(first, two, base))
    assert (second.live, second.fallback) == (two, one)
    assert second.canary_share == 0.0


def test_a_model_held_back_moves_nothing(tmp_path: Path, base: ReleasedModel) -> None:
    one, two = model(tmp_path, "one"), model(tmp_path, "two")
    live = promote(admitted(nothing_released(), one, base))
    after = withhold(live, two, base, NO)
    assert (after.live, after.canary, after.candidate) == (one, None, two.model)
    assert after.decision == NO


def test_rolling_back_withdraws_the_canary_first(tmp_path: Path, base: ReleasedModel) -> None:
    one, two = model(tmp_path, "one"), model(tmp_path, "two")
    trial = admitted(promote(admitted(nothing_released(), one, base)), two, base)
    after = roll_back(trial, "previous")
    assert (after.live, after.canary, after.canary_share) == (one, None, 0.0)
    assert after.rolled_back == (two.model_hash,)
    assert not after.decision.release


def test_rolling_back_without_a_canary_returns_to_the_model_before(
    tmp_path: Path, base: ReleasedModel
) -> None:
    one, two = model(tmp_path, "one"), model(tmp_path, "two")
    live = promote(admitted(promote(admitted(nothing_released(), one, base)), two, base))
    after = roll_back(live, "previous")
    assert after.live == one
    assert after.fallback is None
    assert after.rolled_back == (two.model_hash,)
    with pytest.raises(QiPipelineError, match="no earlier model"):
        roll_back(after, "previous")


def test_the_base_model_is_the_last_resort(tmp_path: Path, base: ReleasedModel) -> None:
    one, two = model(tmp_path, "one"), model(tmp_path, "two")
    trial = admitted(promote(admitted(nothing_released(), one, base)), two, base)
    after = roll_back(trial, "base")
    assert (after.live, after.canary) == (base, None)
    assert set(after.rolled_back) == {one.model_hash, two.model_hash}


def test_nothing_to_promote_or_to_go_back_to_is_said() -> None:
    with pytest.raises(QiPipelineError, match="no model is on trial"):
        promote(nothing_released())
    for target in get_args(Target):
        with pytest.raises(QiPipelineError, match="to go back to"):
            roll_back(nothing_released(), target)


def test_a_file_that_changed_or_went_is_never_named_by_the_pointer(
    tmp_path: Path, base: ReleasedModel
) -> None:
    one, two = model(tmp_path, "one"), model(tmp_path, "two")
    live = promote(admitted(nothing_released(), one, base))
    two.model.write_text("something else", encoding="utf-8")
    with pytest.raises(QiPipelineError, match="not the file that was measured"):
        admitted(live, two, base)
    base.model.unlink()
    with pytest.raises(QiPipelineError, match="is gone; nothing was changed"):
        roll_back(live, "base")
    with pytest.raises(QiPipelineError, match="is gone"):
        roll_back(live, "previous")


def test_the_check_names_every_broken_file(tmp_path: Path, base: ReleasedModel) -> None:
    one = model(tmp_path, "one")
    live = promote(admitted(nothing_released(), one, base))
    assert broken_models(live) == {}
    one.model.write_text("something else", encoding="utf-8")
    base.model.unlink()
    assert set(broken_models(live)) == {"live", "fallback", "base"}


def test_the_data_version_says_who_answers_whom(tmp_path: Path, base: ReleasedModel) -> None:
    one = model(tmp_path, "one")
    trial = admitted(nothing_released(), one, base)
    versions = {r.data_version for r in (nothing_released(), trial, promote(trial))}
    assert len(versions) == 3
    assert Release.model_validate_json(trial.model_dump_json()).data_version == trial.data_version
