"""The embedding cache: nothing is embedded twice, and nothing damaged is believed."""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.recognition import embeddings
from qi_pipeline.recognition.cache import EmbeddingCache
from qi_pipeline.recognition.embeddings import EMBEDDING_MODEL_ID, embed_texts
from qi_pipeline.recognition.recognize import recognize
from qi_pipeline.retrieval.index import build_index
from qi_pipeline_tests.datasets.conftest import build_row

TEXTS = ["cache a user", "parse a date", "log a request"]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every text that reaches the model."""
    seen: list[str] = []
    encode: Callable[..., Any] = embeddings._encode

    def recording(texts: list[str], threads: int | None) -> Any:
        seen.extend(texts)
        return encode(texts, threads)

    monkeypatch.setattr(embeddings, "_encode", recording)
    return seen


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "vectors", EMBEDDING_MODEL_ID)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vectors" / "embeddings.sqlite3"


def vector(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=384).astype(np.float32)


def test_a_second_run_embeds_nothing_and_gives_the_same_bytes(
    cache: EmbeddingCache, encoded: list[str]
) -> None:
    first = embed_texts([*TEXTS, TEXTS[0]], cache=cache)
    assert encoded == TEXTS
    second = embed_texts([TEXTS[0], *TEXTS], cache=cache)
    assert encoded == TEXTS
    assert (second == first[[0, 0, 1, 2]]).all()
    assert second.dtype == np.float32
    embed_texts([*TEXTS, "a fourth"], cache=cache)
    assert encoded == [*TEXTS, "a fourth"]


def test_a_text_that_comes_twice_is_embedded_once_without_a_cache(encoded: list[str]) -> None:
    vectors = embed_texts(["a", "b", "a"])
    assert encoded == ["a", "b"]
    assert (vectors[0] == vectors[2]).all()


def test_the_index_and_recognition_embed_a_unit_once_for_both(
    cache: EmbeddingCache, encoded: list[str], tmp_path: Path
) -> None:
    rows = [build_row(number) for number in range(6)]
    build_index(rows, tmp_path / "index", cache)
    assert len(encoded) == 6
    recognize([row.pattern for row in rows], lambda texts: embed_texts(texts, cache=cache))
    assert len(encoded) == 6


def test_vectors_of_another_model_are_not_served(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, "model-a").write({"x": vector(1)})
    assert EmbeddingCache(tmp_path, "model-b").read(["x"]) == {}
    assert EmbeddingCache(tmp_path, "model").read(["x"]) == {}
    EmbeddingCache(tmp_path, "model-b").write({"x": vector(2)})
    assert (EmbeddingCache(tmp_path, "model-a").read(["x"])["x"] == vector(1)).all()


def test_what_is_written_again_is_replaced(cache: EmbeddingCache) -> None:
    cache.write({"x": vector(1), "y": vector(2)})
    cache.write({"x": vector(3)})
    found = cache.read(["y", "x", "unknown", "x"])
    assert sorted(found) == ["x", "y"]
    assert (found["x"] == vector(3)).all()


def test_reading_an_empty_cache_makes_no_file(cache: EmbeddingCache, file: Path) -> None:
    assert cache.read(["x"]) == {}
    assert not file.exists()


@pytest.mark.parametrize("damage", ["garbage", "truncated", "middle"])
def test_a_damaged_file_is_made_anew_with_a_warning(
    cache: EmbeddingCache, file: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write({f"text {number}": vector(number) for number in range(200)})
    whole = file.read_bytes()
    page = 4096
    file.write_bytes(
        {
            "garbage": b"not a database, whatever its name says" * 100,
            "truncated": whole[: 3 * page],
            "middle": whole[:page] + b"\xff" * (len(whole) - page),
        }[damage]
    )
    journal = file.with_name(file.name + "-journal")
    with caplog.at_level(logging.WARNING):
        found = cache.read([f"text {number}" for number in range(200)])
    assert found == {}
    assert "computed anew" in caplog.text
    assert not journal.exists()
    cache.write({"x": vector(1)})
    assert (cache.read(["x"])["x"] == vector(1)).all()


def test_damage_found_while_writing_is_mended_too(cache: EmbeddingCache, file: Path) -> None:
    cache.write({"x": vector(1)})
    file.write_bytes(b"not a database, whatever its name says" * 100)
    cache.write({"y": vector(2)})
    assert (cache.read(["y"])["y"] == vector(2)).all()


def test_a_vector_that_changed_on_disk_is_not_served(cache: EmbeddingCache, file: Path) -> None:
    cache.write({"x": vector(1), "y": vector(2)})
    with sqlite3.connect(file) as connection:
        connection.execute(
            "UPDATE vectors SET vector = ? WHERE vector = ?",
            (vector(9).tobytes(), vector(1).tobytes()),
        )
    connection.close()
    assert list(cache.read(["x", "y"])) == ["y"]


def test_a_file_that_cannot_be_opened_is_named_and_kept(cache: EmbeddingCache, file: Path) -> None:
    cache.write({"x": vector(1)})
    locking = sqlite3.connect(file, isolation_level=None)
    locking.execute("BEGIN EXCLUSIVE")
    impatient = EmbeddingCache(file.parent, EMBEDDING_MODEL_ID)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("qi_pipeline.recognition.cache._WAIT", 0.05)
            with pytest.raises(
                QiPipelineError, match=r"embeddings\.sqlite3 cannot be used.*locked"
            ):
                impatient.read(["x"])
    finally:
        locking.close()
    assert list(cache.read(["x"])) == ["x"]
