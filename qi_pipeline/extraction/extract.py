"""From a snapshot to its patterns and calls.

Flows in: a `Snapshot` and a `Profile`. Flows out: an `Extraction`: one pattern per unit that uses
the library, every resolved call, and what could not be read or is no pattern. What one file gives
is decided in `files`; verdicts belong to `validation`.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from qi_pipeline.extraction.cache import ExtractionCache, Keys
from qi_pipeline.extraction.coverage import Coverage
from qi_pipeline.extraction.exports import LibraryExports
from qi_pipeline.extraction.files import (
    Answers,
    FileExtraction,
    FileExtractor,
    FileReading,
    LeftOut,
    LocatedCall,
    UnitRow,
    Unreadable,
    symbols_of,
)
from qi_pipeline.extraction.members import MemberOracle, MemberQuestion
from qi_pipeline.extraction.pattern import Pattern, PatternMetadata, UntypedPattern
from qi_pipeline.extraction.syntax import Module, nests_too_deeply, parse_module
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile

_MAX_SOURCE_BYTES = 200_000
"""Size beyond which TypeScript is generated or bundled, not written (the longest file of the real
library has 31,000); what a file costs grows faster than its length."""
_TYPESCRIPT_KINDS = frozenset({"app", "implementation", "test"})


@dataclass(frozen=True)
class Counts:
    """How much of a run was new."""

    reused: int
    """Files whose extraction the cache held."""
    extracted: int
    removed: int
    """Files of the cache's previous run that this snapshot lacks."""


@dataclass(frozen=True)
class Extraction:
    """All that extraction found in one snapshot."""

    patterns: tuple[Pattern, ...]
    """Sorted by id."""
    untyped: tuple[UntypedPattern, ...]
    """Units that use the library and show no type of the profile, sorted by id."""
    calls: tuple[LocatedCall, ...]
    """Sorted by file and place."""
    unreadable: tuple[Unreadable, ...]
    """Sorted by file and line."""
    left_out: tuple[LeftOut, ...]
    """Sorted by file and line."""
    undecided: int
    """Member calls whose receiver only a type checker knows, when none was asked."""
    files_read: int
    counts: Counts
    coverage: Coverage = field(compare=False, repr=False)
    """Which tests reach what, functions of the library that call nothing of it included."""


def extract_patterns(
    snapshot: Snapshot,
    profile: Profile,
    *,
    oracle: MemberOracle | None = None,
    cache: ExtractionCache | None = None,
) -> Extraction:
    """Extract every pattern and call of a snapshot.

    `oracle` decides the member calls that syntax leaves open; it is asked once, about all files
    that `cache` does not hold. Raises QiPipelineError when the snapshot does not hold the profile's
    library at all.
    """
    with _without_collecting():
        return _Extractor(snapshot, profile, oracle, cache).run()


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Put the search for garbage in cycles off: what an extraction makes, it needs to its end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Both together call all that was made old, without a look at it.
        gc.freeze()
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def read_library(snapshot: Snapshot, profile: Profile) -> LibraryExports:
    """Read what the snapshot's library exports, parsing its TypeScript files as they are needed."""
    return LibraryExports(_SourceModules(snapshot), profile)


class _SourceModules(Mapping[str, Module]):
    """The snapshot's TypeScript files, parsed when they are first asked for."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._files = {
            file.path: file
            for file in snapshot.files
            if file.kind in _TYPESCRIPT_KINDS and file.path.endswith(".ts")
        }
        self._parsed: dict[str, Module] = {}
        self.problems: dict[str, Unreadable] = {}

    def __getitem__(self, path: str) -> Module:
        if path not in self._parsed:
            self._parsed[path] = self._parse(self._files[path])
        return self._parsed[path]

    def __contains__(self, path: object) -> bool:
        return path in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def _parse(self, file: SnapshotFile) -> Module:
        text, problem = read_source(self._snapshot, file)
        if file.size > _MAX_SOURCE_BYTES:
            problem = Unreadable(file.path, 1, f"larger than {_MAX_SOURCE_BYTES} bytes")
            text = ""
        module = parse_module(text)
        if nests_too_deeply(module):
            problem = Unreadable(file.path, 1, "nested too deeply for a program")
            module = parse_module("")
        if problem is not None:
            self.problems[file.path] = problem
        return module


def read_source(snapshot: Snapshot, file: SnapshotFile) -> tuple[str, Unreadable | None]:
    """Return a file's text, and what is wrong with it as text, if anything."""
    data = snapshot.path_of(file).read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = data.decode(errors="replace")
        return text, Unreadable(file.path, line, "not UTF-8: is it binary, or in another encoding?")
    place = data.find(b"\0")
    if place >= 0:
        line = data.count(b"\n", 0, place) + 1
        return text, Unreadable(file.path, line, "a NUL byte: is it binary?")
    return text.removeprefix("\ufeff"), None


class _Extractor:
    def __init__(
        self,
        snapshot: Snapshot,
        profile: Profile,
        oracle: MemberOracle | None,
        cache: ExtractionCache | None,
    ) -> None:
        self.snapshot = snapshot
        self.profile = profile
        self.oracle = oracle
        self.cache = cache
        self.modules = _SourceModules(snapshot)
        self.library = LibraryExports(self.modules, profile)
        self.extractor = FileExtractor(self.library)
        self.files = sorted(
            (file for file in snapshot.files if file.kind != "manifest"), key=lambda f: f.path
        )
        self.known_as = self._names_in_ids()

    def run(self) -> Extraction:
        found: dict[str, FileExtraction] = {}
        keys: Keys | None = None
        if self.cache is not None:
            asked = f"asked {self.cache.checker}" if self.oracle is not None else ""
            keys = Keys(self.library, self.extractor.assembler, asked)
            found = self._cached(self.cache, keys)
        reused = len(found)
        readings: Iterable[FileReading] = (
            self._read(file) for file in self.files if file.path not in found
        )
        answers: Mapping[str, Answers] = {}
        if self.oracle is not None:
            readings = list(readings)
            answers = self._answers(self.oracle, readings)
        for reading in readings:
            extraction = self.extractor.extract(reading, answers, asked=self.oracle is not None)
            found[reading.file.path] = extraction
            if self.cache is not None and keys is not None:
                key = keys.key(reading.file, reading.known_as)
                self.cache.store(key, keys.traced(extraction))
        removed = 0 if self.cache is None else self.cache.finish(found.keys())
        return self._merged(found, Counts(reused, len(found) - reused, removed))

    def _cached(self, cache: ExtractionCache, keys: Keys) -> dict[str, FileExtraction]:
        found: dict[str, FileExtraction] = {}
        for file in self.files:
            key = keys.key(file, self.known_as[file.path])
            entry = cache.load(key)
            if entry is not None and keys.holds(entry.trace):
                cache.keep(key)
                found[file.path] = entry
        return found

    def _names_in_ids(self) -> dict[str, str]:
        """Return what each file is known by in ids: the same in every layout, and unique."""
        entries = tuple(entry.rpartition("/")[0] + "/" for entry in self.library.entries.values())
        names: dict[str, str] = {}
        taken: set[str] = set()
        # Two layouts may stand side by side: the one that the library's entry is in comes first.
        for file in sorted(self.files, key=lambda f: (not f.path.startswith(entries), f.path)):
            name = self.profile.layout_free_path(file.path)
            names[file.path] = file.path if name in taken else name
            taken.add(names[file.path])
        return names

    def _read(self, file: SnapshotFile) -> FileReading:
        known_as = self.known_as[file.path]
        if file.path in self.modules:
            # Parsing is what finds the problem.
            _ = self.modules[file.path]
            problem = self.modules.problems.get(file.path)
            if problem is None:
                return self.extractor.read_code(file, known_as)
        else:
            text, problem = read_source(self.snapshot, file)
            if problem is None:
                return self.extractor.read_document(file, known_as, text)
        return FileReading(file, known_as, unreadable=(problem,))

    def _answers(
        self, oracle: MemberOracle, readings: Iterable[FileReading]
    ) -> Mapping[str, Answers]:
        """Ask the type checker about every member call that syntax leaves open, all at once."""
        questions: dict[str, Sequence[MemberQuestion]] = {}
        texts: dict[str, str] = {}
        for reading in readings:
            for path, text, asked in reading.questions():
                if asked:
                    questions[path] = asked
                    texts[path] = text
        if not questions:
            return {}
        texts.update({path: self.modules[path].text for path in self.modules})
        return oracle.resolve(texts, questions)

    def _merged(self, found: Mapping[str, FileExtraction], counts: Counts) -> Extraction:
        coverage = self._coverage(found)
        rows = [
            self._row(file, unit, coverage)
            for file in self.files
            for unit in found[file.path].units
        ]
        rows.sort(key=lambda row: row.id)
        files = found.values()
        return Extraction(
            patterns=tuple(row for row in rows if isinstance(row, Pattern)),
            untyped=tuple(row for row in rows if not isinstance(row, Pattern)),
            calls=tuple(sorted((c for f in files for c in f.calls), key=_place)),
            unreadable=tuple(
                sorted(
                    (item for f in files for item in f.unreadable), key=lambda i: (i.file, i.line)
                )
            ),
            left_out=tuple(
                sorted((item for f in files for item in f.left_out), key=lambda i: (i.file, i.line))
            ),
            undecided=sum(f.undecided for f in files),
            files_read=len(self.files),
            counts=counts,
            coverage=coverage,
        )

    def _coverage(self, found: Mapping[str, FileExtraction]) -> Coverage:
        reaches = {key: targets for f in found.values() for key, targets in f.reaches.items()}
        tests = {
            file.path: symbols_of([item.call for item in found[file.path].calls])
            for file in self.files
            if file.kind == "test"
        }
        return Coverage(self.library, reaches, tests)

    def _row(
        self, file: SnapshotFile, unit: UnitRow, coverage: Coverage
    ) -> Pattern | UntypedPattern:
        covered, tests = coverage.tests_of([unit.declares] if unit.declares else unit.symbols)
        fields: dict[str, Any] = {
            "id": unit.id,
            "instruction": unit.instruction,
            "implementation": unit.implementation,
            "complexity": unit.complexity,
            "category": unit.category,
            "metadata": PatternMetadata(
                source_file=file.path,
                line_range=unit.line_range,
                dependencies=unit.dependencies,
                test_coverage=covered,
                tests=tests,
            ),
            "symbols": unit.symbols,
            "commit": self.snapshot.commit,
            "blob": file.blob,
            "container": unit.container,
            "source_kind": unit.source_kind,
        }
        if not unit.types:
            return UntypedPattern(**fields)
        return Pattern(**fields, type=unit.types[0], types=unit.types)


def _place(item: LocatedCall) -> tuple[str, int, int]:
    return item.file, item.call.line, item.call.column
