import pytest
from pydantic import ValidationError

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.presets import load_preset, load_presets


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(QiPipelineError) as caught:
        load_preset("laptpo")

    assert str(caught.value) == (
        "unknown preset 'laptpo'; known: embedded, laptop, tiny, workstation"
    )


def test_every_preset_adapts_all_linear_layers() -> None:
    assert {preset.target_modules for preset in load_presets().values()} == {"all-linear"}


def test_only_the_workstation_needs_a_gpu() -> None:
    unsloth = [name for name, preset in load_presets().items() if preset.backend == "unsloth"]

    assert unsloth == ["workstation"]
    assert load_preset("workstation").base_quantization == "nf4"


def test_a_preset_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        load_preset("tiny").epochs = 9  # type: ignore[misc]


def test_the_name_is_no_hyperparameter_and_the_seed_is_one() -> None:
    named = load_preset("tiny").hyperparameters()

    assert not {"name", "evaluation_arms"} & named.keys()
    assert "seed" in named
