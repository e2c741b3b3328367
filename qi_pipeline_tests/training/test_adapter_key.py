import dataclasses

import pytest

from qi_pipeline.training.base_model import BaseModel
from qi_pipeline.training.presets import load_preset
from qi_pipeline.training.run import adapter_key

BASE = BaseModel("gguf", "model.gguf", "/somewhere/model.gguf", "abc")
TINY = load_preset("tiny")


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 3e-3}, {"seed": 1}, {"lora_r": 5}, {"max_tokens": 9}, {"dtype": "float32"}],
)
def test_a_changed_hyperparameter_is_another_adapter(change: dict[str, object]) -> None:
    assert adapter_key("data", TINY, BASE) != adapter_key(
        "data", TINY.model_copy(update=change), BASE
    )


def test_other_data_or_another_base_is_another_adapter() -> None:
    keys = {
        adapter_key("data", TINY, BASE),
        adapter_key("data 2", TINY, BASE),
        adapter_key("data", TINY, dataclasses.replace(BASE, revision="def")),
    }

    assert len(keys) == 3


def test_where_the_base_model_lies_and_what_the_preset_is_called_do_not_matter() -> None:
    moved = dataclasses.replace(BASE, location="/elsewhere/model.gguf", name="renamed.gguf")
    renamed = TINY.model_copy(update={"name": "small", "base_model": "/elsewhere/model.gguf"})

    assert adapter_key("data", renamed, moved) == adapter_key("data", TINY, BASE)
