"""What the files of earlier snapshots gave, so that a file that did not change is not read again.

Flows in and out: the `FileExtraction` of one file, under everything that decides it: the blob, the
path, the extractor, the profile, the library's surface, and, checked when an entry is read, what
the file took from other files. An entry that is damaged counts as absent and is made anew.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from qi_pipeline.artefacts import content_hash, write_bytes, write_json
from qi_pipeline.extraction.assembly import ModuleAssembler
from qi_pipeline.extraction.exports import LibraryExports
from qi_pipeline.extraction.files import (
    WHOLE_FILE,
    FileExtraction,
    Trace,
    statement_hash,
)
from qi_pipeline.extraction.signatures import Signatures
from qi_pipeline.source.snapshot import SnapshotFile

EXTRACTOR_VERSION: Final = "3"
"""Goes up whenever the same file may give something else."""
_MAX_BYTES: Final = 256_000_000
"""Size beyond which the entries that were not used for longest go: hundreds of commits fit."""

_ENTRY: Final = TypeAdapter(FileExtraction)


class ExtractionCache:
    """A folder of entries, one per file and what decides it."""

    def __init__(self, folder: Path, *, checker: str = "", max_bytes: int = _MAX_BYTES) -> None:
        """Keep entries in `folder`; `checker` is the version of the type checker that is asked."""
        self.checker = checker
        self._folder = folder
        self._max_bytes = max_bytes
        self._used: set[Path] = set()

    def load(self, key: str) -> FileExtraction | None:
        """Return the entry of that key; None when there is none or it is damaged."""
        path = self._path(key)
        try:
            checksum, _, data = path.read_bytes().partition(b"\n")
            if hashlib.sha256(data).hexdigest().encode() != checksum:
                return None
            return _ENTRY.validate_json(data)
        except (FileNotFoundError, ValidationError):
            return None

    def keep(self, key: str) -> None:
        """Note that the entry was of use."""
        self._path(key).touch()
        self._used.add(self._path(key))

    def store(self, key: str, extraction: FileExtraction) -> None:
        """Write an entry, replacing one that no longer holds."""
        data = _ENTRY.dump_json(extraction)
        checksum = hashlib.sha256(data).hexdigest().encode()
        self._used.add(write_bytes(self._path(key), checksum + b"\n" + data))

    def finish(self, paths: Collection[str]) -> int:
        """End a run over these files: prune, and return how many files of the last run are gone."""
        manifest = self._folder / "last-run.json"
        try:
            last = set(json.loads(manifest.read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            last = set()
        write_json(manifest, sorted(paths))
        self._prune()
        return len(last.difference(paths))

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def _prune(self) -> None:
        """Delete the entries that were not used for longest until the rest fits."""
        entries = [(path, path.stat()) for path in self._folder.glob("??/*.json")]
        size = sum(status.st_size for _, status in entries)
        for path, status in sorted(entries, key=lambda entry: entry[1].st_mtime):
            if size <= self._max_bytes:
                return
            if path not in self._used:
                path.unlink(missing_ok=True)
                size -= status.st_size


class Keys:
    """What decides the extraction of the files of one snapshot."""

    def __init__(
        self, library: LibraryExports, assembler: ModuleAssembler, decided_by: str
    ) -> None:
        """`decided_by` names the type checker that is asked, or is empty when none is."""
        self._library = library
        self._assembler = assembler
        self._signatures = Signatures(library)
        self._common = [
            EXTRACTOR_VERSION,
            content_hash(library.profile.model_dump()),
            self._signatures.surface(),
            decided_by,
        ]

    def key(self, file: SnapshotFile, known_as: str) -> str:
        """Return the key of a file's entry."""
        return content_hash([*self._common, file.path, known_as, file.kind, file.blob])

    def traced(self, extraction: FileExtraction) -> FileExtraction:
        """Return the extraction with what its trace means in this snapshot filled in."""
        return replace(extraction, trace=self._filled(extraction.trace))

    def holds(self, trace: Trace) -> bool:
        """Tell whether all that an entry took from other files is as it was."""
        return self._filled(trace) == trace

    def _filled(self, trace: Trace) -> Trace:
        return Trace(
            imports=tuple((*item[:3], self._meaning(*item[:3])) for item in trace.imports),
            helpers=tuple((*item[:2], self._text(*item[:2])) for item in trace.helpers),
        )

    def _meaning(self, file: str, specifier: str, imported: str) -> str:
        """Return what a relative import means: a library symbol, a declaration, or nothing."""
        exports = self._library.exports_of_specifier(specifier, file)
        if imported == WHOLE_FILE or (imported == "*" and not exports):
            return self._signatures.reachable(file, specifier)
        if imported == "*":
            return _names(symbol.qualified for symbol in exports.values())
        if imported in exports:
            return exports[imported].qualified
        declaration = self._library.declaration_of(specifier, file, imported)
        if declaration is None:
            # An export without a name of its own, such as `export default () => …`.
            return self._signatures.reachable(file, specifier)
        place = f"{declaration.file}#{declaration.name}:{declaration.kind}"
        return f"{place}:{self._signatures.of(declaration)}"

    def _text(self, file: str, name: str) -> str:
        if file not in self._library.modules:
            return ""
        return statement_hash(self._assembler.statements_of(file, name))


def _names(symbols: Iterable[str]) -> str:
    return " ".join(sorted(symbols))
