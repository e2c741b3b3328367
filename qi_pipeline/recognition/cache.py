"""Vectors that were computed once: (embedding model, text) -> float32 vector, in one SQLite file.

Flows in: texts and their vectors. Flows out: the vectors that are known. Who computes a missing one
is the business of `embeddings`. The index and recognition share one cache, so a unit is embedded
once for both. A write is one transaction, so a reader never sees half of one; a vector carries a
checksum, and what does not match is computed anew.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from qi_pipeline.artefacts import disk_space_errors_named
from qi_pipeline.errors import QiPipelineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_FILE: Final = "embeddings.sqlite3"
_WAIT: Final = 60.0
"""Seconds that a process waits for another one's write."""
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS vectors (
  model TEXT NOT NULL, text_hash BLOB NOT NULL, vector BLOB NOT NULL, checksum BLOB NOT NULL,
  PRIMARY KEY (model, text_hash)
) WITHOUT ROWID
"""
_SELECT: Final = "SELECT vector, checksum FROM vectors WHERE model = ? AND text_hash = ?"
_INSERT: Final = "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)"

_Result = TypeVar("_Result")


class EmbeddingCache:
    """The vectors of one embedding model in a folder; several processes may share it."""

    def __init__(self, folder: Path, model: str) -> None:
        self._path = folder / _FILE
        self._model = model

    def read(self, texts: Sequence[str]) -> "dict[str, NDArray[np.float32]]":
        """Return the vector of each text that has one.

        A damaged file counts as empty and is removed, with a warning; a damaged vector counts as
        missing. Raises QiPipelineError when the file cannot be read for another reason.
        """
        import numpy as np  # noqa: PLC0415 - heavy

        if not self._path.is_file():
            return {}
        found: dict[str, NDArray[np.float32]] = {}
        rows = self._run(lambda connection: [self._row(connection, text) for text in texts])
        for text, row in zip(texts, rows, strict=True):
            if row is not None and _checksum(row[0]) == row[1]:
                found[text] = np.frombuffer(row[0], dtype="<f4").astype(np.float32)
        return found

    def write(self, vectors: "Mapping[str, NDArray[np.float32]]") -> None:
        """Store the vector of each text in one transaction; what was stored for it is replaced."""
        rows = []
        for text, vector in vectors.items():
            data = vector.astype("<f4").tobytes()
            rows.append((self._model, _hash(text), data, _checksum(data)))
        self._run(lambda connection: connection.executemany(_INSERT, rows))

    def _row(self, connection: sqlite3.Connection, text: str) -> tuple[bytes, bytes] | None:
        row: tuple[bytes, bytes] | None = connection.execute(
            _SELECT, (self._model, _hash(text))
        ).fetchone()
        return row

    def _run(self, action: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Return what `action` does in one transaction; a damaged file is made anew first."""
        try:
            return self._run_once(action)
        except sqlite3.DatabaseError as error:
            if _primary_code(error) not in _DAMAGED:
                raise QiPipelineError(
                    f"the embedding cache {self._path} cannot be used: {error}; mend that, or "
                    "delete the file: it is made again"
                ) from error
            logger.warning("%s is damaged (%s); its vectors are computed anew", self._path, error)
        # A journal that outlived its file would be rolled back into the next one.
        for path in (self._path, self._path.with_name(f"{_FILE}-journal")):
            path.unlink(missing_ok=True)
        return self._run_once(action)

    def _run_once(self, action: Callable[[sqlite3.Connection], _Result]) -> _Result:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with (
            disk_space_errors_named(self._path),
            closing(sqlite3.connect(self._path, timeout=_WAIT)) as connection,
            connection,
        ):
            connection.execute(_SCHEMA)
            return action(connection)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def _primary_code(error: sqlite3.DatabaseError) -> int | None:
    """Return the primary result code, without the extension (the low byte holds it)."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
