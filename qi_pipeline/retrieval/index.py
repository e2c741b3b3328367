"""The Chroma collection `qi_patterns`: kept patterns, found by meaning.

Flows in: `ValidatedPattern` rows, later queries. Flows out: an `IndexSummary`, later `Hit`s. What a
prompt makes of hits belongs to `serving` and `evaluation`. chromadb is imported inside the
functions, so that importing this module costs nothing.

Consistency. The collection's metadata holds the data version of its rows. A build embeds first,
then takes the version away, writes the rows, checks them, and puts the new version back last. A
search reads the version before and after its query: no version means that a build was killed or is
under way, another version that one finished meanwhile. The next build starts from whatever rows it
finds, since each row carries a hash of its content.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

from qi_pipeline.artefacts import content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import Category, Pattern, PatternType
from qi_pipeline.recognition.cache import EmbeddingCache
from qi_pipeline.recognition.embeddings import (
    EMBEDDING_MODEL_ID,
    embed_texts,
    search_document,
)
from qi_pipeline.validation.verdict import ValidatedPattern

COLLECTION: Final = "qi_patterns"

_BUILD_COMMAND: Final = "qi index"
_ROW_HASH: Final = "row_hash"
_MODEL: Final = "embedding_model"
_VERSION: Final = "data_version"
_ATTEMPTS: Final = 3
_BATCH: Final = 1000
"""Rows of one request; below every limit that Chroma 1.5 reports (5,461 in a folder)."""

# Clients of one folder share one system per process, which goes on answering from the vectors it
# loaded first. Closing the last client is what makes the next one see another process's build.
_ONE_CLIENT = RLock()

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class IndexSummary:
    """What a build did."""

    count: int
    """Patterns in the index."""
    added: int
    updated: int
    removed: int
    data_version: str
    """SHA-256 over ids, documents and the embedding model id."""


@dataclass(frozen=True)
class Hit:
    """One pattern that a search found."""

    id: str
    score: float
    """Cosine similarity, at most 1."""
    type: PatternType
    category: Category
    instruction: str
    source_file: str
    code: str


@dataclass(frozen=True)
class _Row:
    """One entry of the collection."""

    id: str
    document: str
    metadata: dict[str, str]


class PatternIndex:
    """The index in a folder, or on a Chroma server when `location` is an http(s) URL.

    A build takes from `cache` the vectors it holds, and adds the others.
    """

    def __init__(self, location: Path | str, cache: EmbeddingCache | None = None) -> None:
        self._location = location
        self._cache = cache

    def build(self, rows: Iterable[ValidatedPattern]) -> IndexSummary:
        """Make the collection hold exactly the kept rows; only what changed is embedded.

        Raises QiPipelineError when no row is kept (an index is never emptied), when the index holds
        vectors of another embedding model, when another process builds at the same time, or when
        the server does not answer.
        """
        wanted = {
            row.pattern.id: _row_of(row.pattern)
            for row in sorted(rows, key=lambda row: row.pattern.id)
            if row.usable
        }
        if not wanted:
            raise QiPipelineError(
                "no kept pattern to index; the index stays as it is. Look at the rejection reasons "
                "of validated_patterns"
            )
        with _open_client(self._location) as client:
            collection = _create_collection(client, self._location)
            return _bring_up_to_date(collection, wanted, self._cache)

    def search(
        self,
        query: str,
        k: int = 5,
        *,
        category: str | None = None,
        pattern_type: str | None = None,
    ) -> list[Hit]:
        """Return up to `k` patterns, the most similar to `query` first.

        `category` and `pattern_type` restrict the search. Raises QiPipelineError when the query is
        blank, `k` is below 1, a restriction is unknown, or the index is missing or unfinished.
        """
        _check_search(query, k, category, pattern_type)
        vector = embed_texts([query])
        where = _where(category, pattern_type)
        result = self._read(
            lambda collection: collection.query(query_embeddings=vector, n_results=k, where=where)
        )
        found = zip(
            result["ids"][0],
            result["documents"][0],
            result["metadatas"][0],
            result["distances"][0],
            strict=True,
        )
        return [_hit(*entry) for entry in found]

    def data_version(self) -> str:
        """Return the data version of the finished index; raises as `search` does."""
        return self._read(lambda collection: str(collection.metadata[_VERSION]))

    def count(self) -> int:
        """Return the number of patterns in the finished index; raises as `search` does."""
        return self._read(lambda collection: int(collection.count()))

    def _read(self, read: Callable[[Any], _Result]) -> _Result:
        """Return `read(collection)`, of one finished build and no other."""
        for _ in range(_ATTEMPTS):
            with _open_client(self._location, must_exist=True) as client:
                before = _finished_version(client, self._location)
                result = read(_get_collection(client, self._location))
                if _finished_version(client, self._location) == before:
                    return result
        raise QiPipelineError(
            f"the pattern index at {self._location} was rebuilt {_ATTEMPTS} times during one "
            "search; search again"
        )


def build_index(
    rows: Iterable[ValidatedPattern], location: Path | str, cache: EmbeddingCache | None = None
) -> IndexSummary:
    """Bring the index at `location` (a folder or URL) up to date; see `PatternIndex.build`."""
    return PatternIndex(location, cache).build(rows)


def _row_of(pattern: Pattern) -> _Row:
    metadata = {
        "id": pattern.id,
        "type": pattern.type,
        "category": pattern.category,
        "source_kind": pattern.source_kind,
        "source_file": pattern.metadata.source_file,
        "symbols": " ".join(pattern.symbols),
        "instruction": pattern.instruction,
    }
    document = search_document(pattern.instruction, pattern.implementation)
    return _Row(
        pattern.id,
        document,
        {**metadata, _ROW_HASH: content_hash([pattern.id, document, metadata])},
    )


def _hit(identity: str, document: str, metadata: Mapping[str, Any], distance: float) -> Hit:
    return Hit(
        id=identity,
        score=1 - distance,
        type=metadata["type"],
        category=metadata["category"],
        instruction=metadata["instruction"],
        source_file=metadata["source_file"],
        code=document[len(metadata["instruction"]) + 2 :],
    )


def _version_of(rows: Mapping[str, _Row]) -> str:
    return content_hash(
        {
            "embedding_model": EMBEDDING_MODEL_ID,
            "rows": [[row.id, row.document] for row in sorted(rows.values(), key=lambda r: r.id)],
        }
    )


def _bring_up_to_date(
    collection: Any, wanted: Mapping[str, _Row], cache: EmbeddingCache | None
) -> IndexSummary:
    stored = _stored_hashes(collection)
    added = [row for name, row in wanted.items() if name not in stored]
    updated = [
        row
        for name, row in wanted.items()
        if name in stored and stored[name] != row.metadata[_ROW_HASH]
    ]
    removed = sorted(stored.keys() - wanted.keys())
    version = _version_of(wanted)
    if added or updated or removed or collection.metadata.get(_VERSION) != version:
        _write(collection, [*added, *updated], removed, cache)
        _check_written(collection, wanted)
        collection.modify(metadata={_MODEL: EMBEDDING_MODEL_ID, _VERSION: version})
    return IndexSummary(len(wanted), len(added), len(updated), len(removed), version)


def _write(
    collection: Any,
    changed: Sequence[_Row],
    removed: Sequence[str],
    cache: EmbeddingCache | None,
) -> None:
    # Embedding is the slow part, so it comes before the version is taken away.
    vectors = embed_texts([row.document for row in changed], cache=cache)
    collection.modify(metadata={_MODEL: EMBEDDING_MODEL_ID, _VERSION: ""})
    for start in range(0, len(changed), _BATCH):
        batch = changed[start : start + _BATCH]
        collection.upsert(
            ids=[row.id for row in batch],
            embeddings=vectors[start : start + _BATCH],
            documents=[row.document for row in batch],
            metadatas=[row.metadata for row in batch],
        )
    for start in range(0, len(removed), _BATCH):
        collection.delete(ids=list(removed[start : start + _BATCH]))


def _check_written(collection: Any, wanted: Mapping[str, _Row]) -> None:
    expected = {name: row.metadata[_ROW_HASH] for name, row in wanted.items()}
    if _stored_hashes(collection) != expected:
        raise QiPipelineError(
            "another process wrote to the pattern index during this build; run one "
            f"`{_BUILD_COMMAND}` at a time, and run it again now"
        )


def _stored_hashes(collection: Any) -> dict[str, str]:
    """Return id to row hash of every row in the collection."""
    hashes: dict[str, str] = {}
    while True:
        page = collection.get(include=["metadatas"], limit=_BATCH, offset=len(hashes))
        if not page["ids"]:
            return hashes
        hashes |= {
            name: str((metadata or {}).get(_ROW_HASH, ""))
            for name, metadata in zip(page["ids"], page["metadatas"], strict=True)
        }


def _check_search(query: str, k: int, category: str | None, pattern_type: str | None) -> None:
    if not query.strip():
        raise QiPipelineError("the query is blank; say in a few words what code is looked for")
    if k < 1:
        raise QiPipelineError(f"k is {k}; expected at least 1")
    for name, value, known in (
        ("category", category, get_args(Category)),
        ("pattern type", pattern_type, get_args(PatternType)),
    ):
        if value is not None and value not in known:
            raise QiPipelineError(f"unknown {name} {value!r}; known: {', '.join(known)}")


def _where(category: str | None, pattern_type: str | None) -> dict[str, Any] | None:
    conditions: list[dict[str, Any]] = [
        {name: value}
        for name, value in (("category", category), ("type", pattern_type))
        if value is not None
    ]
    return {"$and": conditions} if len(conditions) > 1 else next(iter(conditions), None)


@contextmanager
def _open_client(location: Path | str, *, must_exist: bool = False) -> Iterator[Any]:
    """Yield a Chroma client that sees what other processes have written."""
    import chromadb  # noqa: PLC0415
    from chromadb.config import Settings  # noqa: PLC0415

    settings = Settings(anonymized_telemetry=False)
    with _ONE_CLIENT:
        if isinstance(location, str) and location.startswith(("http://", "https://")):
            client = _connect(chromadb, location, settings)
        else:
            folder = Path(location)
            if must_exist and not (folder / "chroma.sqlite3").is_file():
                raise _missing(location)
            folder.mkdir(parents=True, exist_ok=True)
            client = chromadb.PersistentClient(path=str(folder), settings=settings)
        with client:
            yield client


def _connect(chromadb: Any, url: str, settings: Any) -> Any:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    try:
        return chromadb.HttpClient(
            host=parts.hostname or "localhost",
            port=parts.port or (443 if secure else 80),
            ssl=secure,
            settings=settings,
        )
    except ValueError as error:
        raise QiPipelineError(
            f"no Chroma server answers at {url}: {error}; start one (`chroma run`), correct "
            "QI_CHROMA_URL, or unset it to use a folder"
        ) from error


def _create_collection(client: Any, location: Path | str) -> Any:
    collection = client.get_or_create_collection(
        COLLECTION,
        # Chroma's own default function would download a model at run time.
        embedding_function=None,
        configuration={"hnsw": {"space": "cosine"}},
        metadata=None,
    )
    if not collection.metadata:
        collection.modify(metadata={_MODEL: EMBEDDING_MODEL_ID, _VERSION: ""})
        collection = client.get_collection(COLLECTION, embedding_function=None)
    _refuse_other_model(collection, location)
    return collection


def _get_collection(client: Any, location: Path | str) -> Any:
    from chromadb.errors import NotFoundError  # noqa: PLC0415

    try:
        return client.get_collection(COLLECTION, embedding_function=None)
    except NotFoundError as error:
        raise _missing(location) from error


def _finished_version(client: Any, location: Path | str) -> str:
    collection = _get_collection(client, location)
    version = (collection.metadata or {}).get(_VERSION)
    if not version:
        raise QiPipelineError(
            f"the pattern index at {location} is unfinished: a build is under way or was killed; "
            f"wait, or run `{_BUILD_COMMAND}`"
        )
    _refuse_other_model(collection, location)
    return str(version)


def _refuse_other_model(collection: Any, location: Path | str) -> None:
    found = collection.metadata.get(_MODEL)
    if found != EMBEDDING_MODEL_ID:
        raise QiPipelineError(
            f"the pattern index at {location} holds vectors of {found}, but this program embeds "
            f"with {EMBEDDING_MODEL_ID}; vectors of two models cannot be compared: delete the "
            f"collection {COLLECTION!r} (or its folder) and run `{_BUILD_COMMAND}`"
        )


def _missing(location: Path | str) -> QiPipelineError:
    return QiPipelineError(
        f"there is no pattern index at {location}; build it with `{_BUILD_COMMAND}`"
    )
