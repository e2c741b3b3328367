from pathlib import Path
from typing import Any

import pytest

from qi_pipeline_tests.training import material


@pytest.fixture(scope="session")
def base_model_dir(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path:
    folder: Path = material.once(
        request, "base model", lambda: material.make_base_model(tmp_path_factory)
    )
    return folder


@pytest.fixture(scope="session")
def tokenizer(base_model_dir: Path) -> Any:
    from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

    return AutoTokenizer.from_pretrained(base_model_dir)


@pytest.fixture(scope="session")
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: Any, base_model_dir: Path
) -> material.TrainedAdapter:
    adapter: material.TrainedAdapter = material.once(
        request,
        "adapter",
        lambda: material.train_after_a_kill(tmp_path_factory.mktemp("trained"), base_model_dir),
    )
    return adapter
