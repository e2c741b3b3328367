"""Mine violation → fix pairs from a library's history.

A pair is one unit before and after one commit: before, its module breaks a convention rule; after,
it compiles and breaks none, and is recognisably the same unit. Both sides are complete modules,
judged against the library as it was on that side. Flows in: a located repository and the profile.
Flows out: `FixPair`s, each with both commits. What is asked of a model about a pair belongs to
`fixes`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from string import ascii_letters, digits

from qi_pipeline.artefacts import build_directory, content_hash, read_jsonl, write_jsonl
from qi_pipeline.datasets.fix_pairs import FixPair
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.assembly import ModuleAssembler, UnfitUnitError
from qi_pipeline.extraction.cache import EXTRACTOR_VERSION
from qi_pipeline.extraction.exports import LibraryExports
from qi_pipeline.extraction.extract import read_library
from qi_pipeline.extraction.syntax import text_of
from qi_pipeline.extraction.units import Unit, every_unit
from qi_pipeline.library.profile import Profile
from qi_pipeline.recognition.duplicates import tokenize
from qi_pipeline.source.history import HistoryCommit, main_line, read_history
from qi_pipeline.source.location import Location
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.program import SourceProgram
from qi_pipeline.validation.verdict import VALIDATION_VERSION, RuleViolation, Verdict
from qi_pipeline.validation.workspace import entries_among, prepare_library

MINING_VERSION = "1"
"""Raised whenever this module finds other pairs in equal commits."""
LEAST_KEPT = 0.4
"""Share of a unit's words that a fix of it keeps; a change that keeps fewer is another unit under
an old name, and nobody could answer it from the question."""
_KEY_LENGTH = 16
_QUOTES = "\"'`"
_WORD_STARTS = frozenset(f"{ascii_letters}{digits}_${_QUOTES}")
_MODULES = "qi-modules"
"""Folder of the program's tree in which the modules under judgement stand."""


@dataclass(frozen=True)
class Mined:
    """What a history holds."""

    pairs: tuple[FixPair, ...]
    """In the order of the commits; within one in the order of the files."""
    unverified: tuple[str, ...]
    """Why commits could not be verified, one sentence each; their pairs are left out."""


@dataclass(frozen=True)
class Miner:
    """Finds the pairs of one library; what it found in a commit is kept below `cache_dir`."""

    profile: Profile
    toolchain_dir: Path
    cache_dir: Path
    report: Callable[[str], None]

    def mine(self, location: Location) -> Mined:
        """Return the pairs in the history of a commit, along its first parents.

        Raises QiPipelineError when the history cannot be read.
        """
        history = main_line(read_history(location.repository, location.commit, self.profile))
        pairs: list[FixPair] = []
        unverified: list[str] = []
        for before, after in _steps(history):
            folder = self._folder(before, after)
            try:
                build_directory(folder, partial(self._write, location, before, after))
            except _UnverifiedError as error:
                unverified.append(f"{after.commit[:12]}: {error}")
                continue
            pairs.extend(FixPair.model_validate(row) for row in read_jsonl(folder / "pairs.jsonl"))
        return Mined(tuple(pairs), tuple(unverified))

    def _folder(self, before: HistoryCommit, after: HistoryCommit) -> Path:
        lock = self.toolchain_dir / "package-lock.json"
        key = [
            [MINING_VERSION, EXTRACTOR_VERSION, VALIDATION_VERSION],
            before.commit,
            after.commit,
            self.profile.model_dump(),
            lock.read_text("utf-8") if lock.is_file() else "",
        ]
        return self.cache_dir / "fix-pairs" / content_hash(key)[:_KEY_LENGTH]

    def _write(
        self, location: Location, before: HistoryCommit, after: HistoryCommit, target: Path
    ) -> None:
        self.report(f"looking for fixes in {after.commit[:12]}: {after.subject}")
        rows = self._pairs(location, before, after)
        write_jsonl(target / "pairs.jsonl", (row.model_dump(mode="json") for row in rows))

    def _pairs(
        self, location: Location, before: HistoryCommit, after: HistoryCommit
    ) -> list[FixPair]:
        old = self._state(location, before)
        new = self._state(location, after)
        if old is None or new is None:
            return []
        changed = _changed_units(old, new)
        modules = {
            key: (old_text, new_text)
            for key, (earlier, later) in changed.items()
            if (old_text := old.module(earlier)) and (new_text := new.module(later))
        }
        broken = self._violations(old, {key: text for key, (text, _) in modules.items()})
        faulty = [key for key in modules if _errors(broken[key])]
        clean = self._violations(new, {key: modules[key][1] for key in faulty})
        mended = {key: modules[key][1] for key in faulty if not _errors(clean[key])}
        verdicts = self._verdicts(new.snapshot, mended)
        return [
            FixPair(
                id=content_hash([key, after.commit])[:_KEY_LENGTH],
                before=modules[key][0],
                after=modules[key][1],
                rules=tuple(sorted({rule.id for rule in _errors(broken[key])}, key=_number)),
                messages=tuple(
                    dict.fromkeys(f"{rule.id}: {rule.message}" for rule in _errors(broken[key]))
                ),
                commit=after.commit,
                parent=before.commit,
                source_file=changed[key][1].file,
                container=changed[key][1].container,
            )
            for key in mended
            # A module that calls nothing of the library teaches nothing about it.
            if verdicts[key].complies and verdicts[key].symbols and _is_same_unit(*changed[key])
        ]

    def _state(self, location: Location, commit: HistoryCommit) -> "_State | None":
        """Return the commit's sources; None before it has a library."""
        snapshot = take_snapshot(
            str(location.repository),
            commit.commit,
            self.profile,
            self.cache_dir / "snapshots",
            self.cache_dir / "mirrors",
        )
        sources = [file.path for file in snapshot.files if file.kind == "implementation"]
        if not entries_among(sources, self.profile):
            return None
        library = read_library(snapshot, self.profile)
        return _State(snapshot, library, ModuleAssembler(library))

    def _violations(
        self, state: "_State", texts: Mapping[str, str]
    ) -> dict[str, tuple[RuleViolation, ...]]:
        """Judge modules among the library's own sources; no npm dependency is needed for it."""
        if not texts:
            return {}
        places = {f"{_MODULES}/{number}/module.ts": key for number, key in enumerate(texts)}
        files = {
            file.path: state.snapshot.read_text(file)
            for file in state.snapshot.files
            if file.kind == "implementation"
        }
        modules = {place: texts[key] for place, key in places.items()}
        with SourceProgram(files | modules, self.profile, self.toolchain_dir) as program:
            found = program.violations(list(places))
        return {key: found[place] for place, key in places.items()}

    def _verdicts(self, snapshot: Snapshot, texts: Mapping[str, str]) -> dict[str, Verdict]:
        """Compile modules against the snapshot's library with its dependencies installed."""
        if not texts:
            return {}
        try:
            library = prepare_library(snapshot, self.profile, self.cache_dir)
        except QiPipelineError as error:
            raise _UnverifiedError(str(error)) from error
        with Checker(library, self.profile, self.toolchain_dir) as checker:
            return checker.check_modules(texts)


@dataclass(frozen=True)
class _State:
    """The sources of one commit."""

    snapshot: Snapshot
    library: LibraryExports
    assembler: ModuleAssembler

    def units(self, file: SnapshotFile) -> dict[str, Unit]:
        """Return the file's units by an identity that survives moves of lines and layouts."""
        if file.path not in self.library.modules or file.kind == "manifest":
            return {}
        module = self.library.modules[file.path]
        name = self.library.profile.layout_free_path(file.path)
        return {
            content_hash([name, unit.container, unit.kind, unit.ordinal]): unit
            for unit in every_unit(module, file.path, file.kind)
        }

    def module(self, unit: Unit) -> str | None:
        """Return the unit as a complete module; None when it cannot be one."""
        try:
            return self.assembler.assemble(unit).text
        except UnfitUnitError:
            return None


def _changed_units(old: _State, new: _State) -> dict[str, tuple[Unit, Unit]]:
    """Return the units that both states have with different text, by identity."""
    paths = old.library.profile.layout_free_path
    known = {paths(file.path): file for file in old.snapshot.files}
    changed: dict[str, tuple[Unit, Unit]] = {}
    for file in new.snapshot.files:
        before = known.get(paths(file.path))
        if before is None or before.blob == file.blob:
            continue
        earlier = old.units(before)
        for key, unit in new.units(file).items():
            if key in earlier and earlier[key].statement.text != unit.statement.text:
                changed[key] = (earlier[key], unit)
    return changed


class _UnverifiedError(Exception):
    """A commit's library cannot be set up, so its fixes cannot be verified."""


def _steps(history: Sequence[HistoryCommit]) -> Iterator[tuple[HistoryCommit, HistoryCommit]]:
    """Yield each commit that changes something relevant, after its predecessor."""
    for before, after in pairwise(history):
        if before.files and after.files and before.files != after.files:
            yield before, after


def _errors(violations: Sequence[RuleViolation]) -> list[RuleViolation]:
    return [violation for violation in violations if violation.severity == "error"]


def _number(rule: str) -> int:
    return int(rule[1:])


def _is_same_unit(before: Unit, after: Unit) -> bool:
    """Tell whether enough words of a unit are still in its later version."""
    earlier, later = (
        Counter(
            token.strip(_QUOTES)
            for token in tokenize(text_of(unit.statement))
            if token[0] in _WORD_STARTS
        )
        for unit in (before, after)
    )
    return (earlier & later).total() >= LEAST_KEPT * earlier.total()
