"""The one function that says whether a module compiles and keeps the conventions.

Flows in: a prepared library and modules as text. Flows out: one `Verdict` for each. The verdict
that filters training data is the verdict that scores answers and labels live traffic. Modules are
compiled together in one program for speed and cannot see or change each other; nothing is run.
What becomes of a verdict belongs to its users.
"""

import json
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.admission import OWN_CODE, admit
from qi_pipeline.validation.augmentation import (
    adds_globals,
    foreign_imports,
    is_installed,
)
from qi_pipeline.validation.blame import library_callee
from qi_pipeline.validation.compiler import Compiler, CompilerFailedError
from qi_pipeline.validation.judging import judge
from qi_pipeline.validation.project import PROBE, configuration, library_probe
from qi_pipeline.validation.questions import Questions
from qi_pipeline.validation.references import LibraryFacts, References
from qi_pipeline.validation.syntax import ParsedModule
from qi_pipeline.validation.verdict import Diagnostic, RuleViolation, Verdict
from qi_pipeline.validation.workspace import LibraryWorkspace

_BATCH = 500
"""Modules compiled together; bounds the compiler's memory."""
_WAVE = 100
"""Modules judged together; while the compiler answers on one wave, another's answers are read."""
_WAVES_AT_ONCE = 2
_START_TIMEOUT_S = 120.0
_BATCH_TIMEOUT_S = 20.0
_MODULE_TIMEOUT_S = 0.2
"""Added for each module of a batch: fifty times what one takes on an idle core."""
_IDLE = "export {};\n"
"""A module that is in nobody's way."""


@dataclass(frozen=True)
class _Admitted:
    """A module that may be compiled."""

    text: str
    """As it was given; `module.text` lacks a byte order mark."""
    module: ParsedModule


@dataclass(frozen=True)
class _Placed(_Admitted):
    """An admitted module and the file it is compiled as."""

    file: Path


class _Judged(NamedTuple):
    """What questions about a module gave."""

    references: References
    rules: tuple[RuleViolation, ...]
    symbols: tuple[str, ...]


class Checker:
    """Judges modules against one library; a context manager around one compiler process.

    Safe to share between threads: one check runs at a time.
    """

    def __init__(self, library: LibraryWorkspace, profile: Profile, toolchain_dir: Path) -> None:
        """Take the prepared library, its profile and the folder of the pinned compiler."""
        self._library = library
        self._profile = profile
        self._directory = Path(tempfile.mkdtemp(prefix="qi-check-")).resolve()
        try:
            self._compiler = Compiler(toolchain_dir, self._directory)
        except QiPipelineError:
            self._directory.rmdir()
            raise
        self._lock = threading.Lock()
        self._facts: LibraryFacts | None = None
        self._snapshot = 0
        self._slot = self._directory / "modules" / "single" / f"{secrets.token_hex(8)}.ts"
        self._left: list[tuple[str, str]] = []
        self._own_files: frozenset[str] = frozenset()
        self._augmenting: dict[str, bool] = {}

    def __enter__(self) -> Self:
        """Write the project and start the compiler."""
        self._write_project()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the compiler and remove the project."""
        self._compiler.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def library(self) -> LibraryWorkspace:
        """The library that modules are judged against."""
        return self._library

    @property
    def profile(self) -> Profile:
        """What is known of that library."""
        return self._profile

    @property
    def compiler_pid(self) -> int | None:
        """Process id of the compiler, for those who watch processes."""
        return self._compiler.pid

    def check_module(self, text: str) -> Verdict:
        """Return the verdict on one module."""
        return self.check_modules({"module": text})["module"]

    def check_modules(self, modules: Mapping[str, str]) -> dict[str, Verdict]:
        """Return a verdict for each module, under its name and in the given order.

        A module that the compiler cannot survive gets a failing verdict. Raises QiPipelineError
        when the compiler fails on the library alone.
        """
        # Equal texts have equal verdicts; each is compiled once.
        distinct = list(dict.fromkeys(modules.values()))
        with self._lock:
            verdicts, admitted = _admit_all(distinct)
            for group in self._compatible(admitted):
                for start in range(0, len(group), _BATCH):
                    verdicts.update(self._check_batch(group[start : start + _BATCH]))
        return {name: verdicts[text] for name, text in modules.items()}

    def _check_batch(self, admitted: Sequence[_Admitted]) -> dict[str, Verdict]:
        """Check a batch, restarting a failed compiler once and then isolating what fells it."""
        try:
            return self._compile(admitted)
        except CompilerFailedError:
            self._close()
        try:
            return self._compile(admitted)
        except CompilerFailedError as error:
            self._close()
            if len(admitted) == 1:
                failing = _failing(f"the compiler cannot judge this module: {error}")
                return {admitted[0].text: failing}
        middle = len(admitted) // 2
        return self._check_batch(admitted[:middle]) | self._check_batch(admitted[middle:])

    def _compatible(self, admitted: Sequence[_Admitted]) -> list[list[_Admitted]]:
        """Group the modules that see the same globals, whoever stands beside them.

        Those that import the most come first: what was read to learn that is still in memory.
        """
        groups: dict[frozenset[str], list[_Admitted]] = {}
        for item in admitted:
            imports = foreign_imports(item.module, self._profile)
            augmenting = frozenset(name for name in sorted(imports) if self._augments(name))
            groups.setdefault(augmenting, []).append(item)
        return [groups[imports] for imports in sorted(groups, key=len, reverse=True)]

    def _augments(self, specifier: str) -> bool:
        """Tell whether importing `specifier` changes the globals; asked once of the compiler."""
        if specifier not in self._augmenting:
            is_there = is_installed(specifier, self._library.node_modules)
            self._augmenting[specifier] = is_there and self._reads_globals(specifier)
        return self._augmenting[specifier]

    def _reads_globals(self, specifier: str) -> bool:
        """Tell whether the compiler reads files that change the globals to import `specifier`.

        A package that the compiler cannot survive is taken for one.
        """
        file = self._directory / "modules" / "import" / f"{secrets.token_hex(8)}.ts"
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Opened without the import, so that what the library reads itself is known.
            self._opened()
            file.write_text(f"import {json.dumps(specifier)};\n", encoding="utf-8")
            changes = self._changes([file])
            questions = self._next_snapshot({"fileChanges": changes}, _BATCH_TIMEOUT_S)
            read = questions.source_files() - self._own_files - {file.as_posix()}
        except CompilerFailedError:
            self._close()
            return True
        finally:
            self._empty(file)
        return adds_globals(read)

    def _compile(self, admitted: Sequence[_Admitted]) -> dict[str, Verdict]:
        facts = self._opened()
        placed = self._places_of(admitted)
        try:
            for item in placed:
                # A folder for each, so that nothing relative reaches another; kept for the next.
                item.file.parent.mkdir(parents=True, exist_ok=True)
                item.file.write_bytes(item.module.text.encode())
            return self._judge(facts, placed)
        finally:
            for item in placed:
                self._empty(item.file)

    def _places_of(self, admitted: Sequence[_Admitted]) -> list[_Placed]:
        """Give each module a file with an unguessable name, so that none can be imported.

        One alone takes the file that is always there: the compiler takes a changed file in much
        faster than a new one.
        """
        if len(admitted) == 1:
            return [_Placed(admitted[0].text, admitted[0].module, self._slot)]
        nonce = secrets.token_hex(8)
        return [
            _Placed(item.text, item.module, self._directory / "modules" / str(n) / f"{nonce}.ts")
            for n, item in enumerate(admitted)
        ]

    def _empty(self, file: Path) -> None:
        """Take a module out of the program; the compiler hears of it with the next change."""
        if file == self._slot:
            file.write_text(_IDLE, encoding="utf-8")
            self._left.append(("changed", file.as_posix()))
        else:
            file.unlink(missing_ok=True)
            self._left.append(("deleted", file.as_posix()))

    def _changes(self, placed: Iterable[Path]) -> dict[str, list[str]]:
        """Return what the compiler must hear of: the files now placed, and those left before."""
        changes: dict[str, list[str]] = {"created": [], "changed": [], "deleted": []}
        for kind, name in self._left:
            changes[kind].append(name)
        self._left = []
        for file in placed:
            changes["changed" if file == self._slot else "created"].append(file.as_posix())
        return changes

    def _judge(self, facts: LibraryFacts, placed: Sequence[_Placed]) -> dict[str, Verdict]:
        timeout_s = _BATCH_TIMEOUT_S + _MODULE_TIMEOUT_S * len(placed)
        created = [item.file.as_posix() for item in placed]
        changes = self._changes(item.file for item in placed)
        questions = self._next_snapshot({"fileChanges": changes}, timeout_s)
        syntactic = questions.diagnostics("getSyntacticDiagnostics", created)
        verdicts: dict[str, Verdict] = {}
        sound = []
        for item, found in zip(placed, syntactic, strict=True):
            if found:
                verdicts[item.text] = _verdict(self._diagnostics(item, found))
            else:
                sound.append(item)
        if verdicts and sound:
            # The compiler recovers from a syntax error and binds what it recovered, global
            # augmentations included; such a file must not stand beside the others.
            questions = self._without(questions, placed, sound)
        verdicts.update(self._judge_sound(questions, facts, sound))
        return verdicts

    def _without(
        self, questions: Questions, placed: Sequence[_Placed], sound: Sequence[_Placed]
    ) -> Questions:
        kept = {item.file for item in sound}
        removed = [item.file for item in placed if item.file not in kept]
        for file in removed:
            file.unlink()
        changes = {"deleted": [file.as_posix() for file in removed]}
        return self._next_snapshot({"fileChanges": changes}, questions.timeout_s)

    def _judge_sound(
        self, questions: Questions, facts: LibraryFacts, sound: Sequence[_Placed]
    ) -> dict[str, Verdict]:
        """Return the verdicts on modules without syntax errors.

        The compiler finds errors with one checker and answers questions with another; each has work
        for one core, as has what is made of the answers here.
        """
        files = [item.file.as_posix() for item in sound]

        def judge_wave(wave: Sequence[_Placed]) -> list[_Judged]:
            modules = {item.file.as_posix(): item.module for item in wave}
            judged = judge(questions, facts, self._profile, modules)
            return [
                _Judged(one.references, one.violations(), one.references.used_symbols())
                for one in judged.values()
            ]

        with ThreadPoolExecutor(max_workers=1 + _WAVES_AT_ONCE) as pool:
            errors = pool.submit(questions.diagnostics, "getSemanticDiagnostics", files)
            waves = [sound[start : start + _WAVE] for start in range(0, len(sound), _WAVE)]
            judged = [one for wave in pool.map(judge_wave, waves) for one in wave]
        return {
            item.text: Verdict(
                compiles=not found,
                diagnostics=self._diagnostics(item, found, one.references),
                rules=one.rules,
                symbols=one.symbols,
            )
            for item, found, one in zip(sound, errors.result(), judged, strict=True)
        }

    def _diagnostics(
        self,
        item: _Placed,
        found: Sequence[dict[str, Any]],
        references: References | None = None,
    ) -> tuple[Diagnostic, ...]:
        """Return the diagnostics; those on calls of the library name what is called."""
        diagnostics = []
        for entry in found:
            line, column = item.module.position(entry["pos"])
            message = self._portable("\n".join(_message_lines(entry)), item.file)
            callee = library_callee(references, entry["pos"], self._roots) if references else None
            diagnostics.append(
                Diagnostic(
                    code=entry["code"], line=line, column=column, message=message, callee=callee
                )
            )
        return tuple(sorted(diagnostics, key=lambda one: (one.line, one.column, one.code)))

    @cached_property
    def _roots(self) -> frozenset[Path]:
        return frozenset({self._library.root, self._library.root.resolve()})

    def _portable(self, message: str, file: Path) -> str:
        """Return `message` without this run's folders, so that equal modules read equally."""
        message = message.replace(file.with_suffix("").as_posix(), "module")
        for folder, shown in self._folders:
            message = message.replace(folder, shown)
        return message

    @cached_property
    def _folders(self) -> tuple[tuple[str, str], ...]:
        """Folders that messages may name, each with what is shown instead."""
        modules, root = self._library.node_modules, self._library.root
        return tuple(
            (f"{place.as_posix()}/", shown)
            for folder, shown in ((modules, "node_modules/"), (root, ""))
            for place in (folder.resolve(), folder)
        )

    def _write_project(self) -> None:
        """Lay out the project: its options, the library's imports, the dependencies."""
        modules = self._library.node_modules
        (self._directory / "node_modules").symlink_to(modules.resolve(), target_is_directory=True)
        text = configuration(
            self._profile, self._library.paths, modules, include=["modules/*/*.ts"]
        )
        (self._directory / "tsconfig.json").write_text(text, encoding="utf-8")
        text, _ = library_probe(self._profile, self._library.entries)
        (self._directory / PROBE).write_text(text, encoding="utf-8")
        self._slot.parent.mkdir(parents=True)
        self._slot.write_text(_IDLE, encoding="utf-8")

    def _opened(self) -> LibraryFacts:
        """Return what is known of the library, starting the compiler when none runs."""
        if self._facts is None:
            try:
                self._compiler.start()
                opening = {"openProjects": [(self._directory / "tsconfig.json").as_posix()]}
                questions = self._next_snapshot(opening, _START_TIMEOUT_S)
                _, offsets = library_probe(self._profile, self._library.entries)
                probe = (self._directory / PROBE).as_posix()
                self._facts = questions.library_facts(probe, offsets, self._profile)
                self._own_files = questions.source_files()
            except CompilerFailedError as error:
                self._close()
                raise QiPipelineError(
                    f"the TypeScript compiler cannot load the library at {self._library.root}: "
                    f"{error}; delete that folder to rebuild it, or choose another revision"
                ) from error
        return self._facts

    def _close(self) -> None:
        self._compiler.stop()
        self._facts, self._snapshot, self._left = None, 0, []

    def _next_snapshot(self, parameters: dict[str, Any], timeout_s: float) -> Questions:
        """Move the compiler to the state that `parameters` describe and forget the last one."""
        (state,) = self._compiler.ask([("updateSnapshot", parameters)], timeout_s)
        if self._snapshot:
            self._compiler.ask([("release", {"snapshot": self._snapshot})], timeout_s)
        self._snapshot = state["snapshot"]
        return Questions(self._compiler, self._snapshot, state["projects"][0]["id"], timeout_s)


def _admit_all(texts: Iterable[str]) -> tuple[dict[str, Verdict], list[_Admitted]]:
    """Return the verdicts on those texts that may not be compiled, and the others."""
    barred: dict[str, Verdict] = {}
    admitted: list[_Admitted] = []
    for text in texts:
        # The compiler skips a byte order mark; offsets must count from the same character.
        module, diagnostics = admit(text.removeprefix("\ufeff"))
        if module is None:
            barred[text] = _verdict(diagnostics)
        else:
            admitted.append(_Admitted(text, module))
    return barred, admitted


def _message_lines(entry: dict[str, Any]) -> list[str]:
    chain = [line for link in entry.get("messageChain") or [] for line in _message_lines(link)]
    return [entry["text"], *(f"  {line}" for line in chain)]


def _verdict(diagnostics: tuple[Diagnostic, ...]) -> Verdict:
    return Verdict(compiles=not diagnostics, diagnostics=diagnostics, rules=(), symbols=())


def _failing(message: str) -> Verdict:
    return _verdict((Diagnostic(code=OWN_CODE, line=1, column=1, message=message),))
