"""What holds for every test, and the two things that are dear to make and shared between folders.

No verdict depends on how fast the machine is.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from qi_pipeline.settings import Settings
from qi_pipeline_tests.training import material

settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def real_repository() -> Path:
    """Return the clone of the real library that QI_REAL_REPO names; skip where it names none."""
    clone = Settings().real_repo
    if clone is None:
        pytest.skip("QI_REAL_REPO names no clone of the real library")
    return clone


@pytest.fixture(scope="session")
def base_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the embedded base model as a Hugging Face folder."""
    return material.make_base_model(tmp_path_factory)


@pytest.fixture(scope="session")
def tokenizer(base_model_dir: Path) -> Any:
    """Return the tokenizer of the embedded base model."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

    return AutoTokenizer.from_pretrained(base_model_dir)


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, base_model_dir: Path
) -> material.TrainedAdapter:
    """Return an adapter trained for a few steps, after a first attempt that was killed."""
    return material.train_after_a_kill(tmp_path_factory.mktemp("trained"), base_model_dir)
