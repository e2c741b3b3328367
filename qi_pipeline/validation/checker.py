"""The one function that says whether a module compiles and keeps the conventions.

Flows in: a prepared library and modules as text. Flows out: one `Verdict` for each. The verdict
that filters training data is the verdict that scores answers and labels live traffic. Modules are
compiled together in one program for speed and cannot see or change each other; nothing is run.
What becomes of a verdict belongs to its users.
"""

import secrets
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.admission import OWN_CODE, admit
from qi_pipeline.validation.compiler import Compiler, CompilerFailedError
from qi_pipeline.validation.judging import judge
from qi_pipeline.validation.project import PROBE, configuration, library_probe
from qi_pipeline.validation.questions import Questions
from qi_pipeline.validation.references import LibraryFacts
from qi_pipeline.validation.syntax import ParsedModule
from qi_pipeline.validation.verdict import Diagnostic, Verdict
from qi_pipeline.validation.workspace import LibraryWorkspace

_BATCH = 500
"""Modules compiled together; bounds the compiler's memory."""
_START_TIMEOUT_S = 120.0
_BATCH_TIMEOUT_S = 20.0
_MODULE_TIMEOUT_S = 0.2
"""Added for each module of a batch: fifty times what one takes on an idle core."""

@dataclass(frozen=True)
class _Placed:
    """An admitted module and the file it is compiled as."""

    text: str
    """As it was given; `module.text` lacks a byte order mark."""
    module: ParsedModule
    file: Path


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
        self._stale: list[str] = []

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
        verdicts: dict[str, Verdict] = {}
        with self._lock:
            for start in range(0, len(distinct), _BATCH):
                verdicts.update(self._check_batch(distinct[start : start + _BATCH]))
        return {name: verdicts[text] for name, text in modules.items()}

    def _check_batch(self, texts: Sequence[str]) -> dict[str, Verdict]:
        """Check `texts`, restarting a failed compiler once and then isolating what fells it."""
        try:
            return self._check_together(texts)
        except CompilerFailedError:
            self._close()
        try:
            return self._check_together(texts)
        except CompilerFailedError as error:
            self._close()
            if len(texts) == 1:
                return {texts[0]: _failing(f"the compiler cannot judge this module: {error}")}
        middle = len(texts) // 2
        return self._check_batch(texts[:middle]) | self._check_batch(texts[middle:])

    def _check_together(self, texts: Sequence[str]) -> dict[str, Verdict]:
        verdicts: dict[str, Verdict] = {}
        placed: list[_Placed] = []
        # An unguessable name: a module must not be able to import itself or its neighbours.
        nonce = secrets.token_hex(8)
        for number, text in enumerate(texts):
            # The compiler skips a byte order mark; offsets must count from the same character.
            module, diagnostics = admit(text.removeprefix("\ufeff"))
            if module is None:
                verdicts[text] = _verdict(diagnostics)
            else:
                file = self._directory / "modules" / str(number) / f"{nonce}.ts"
                placed.append(_Placed(text, module, file))
        if placed:
            verdicts.update(self._compile(placed))
        return verdicts

    def _compile(self, placed: Sequence[_Placed]) -> dict[str, Verdict]:
        facts = self._opened()
        try:
            for item in placed:
                # A folder for each, so that nothing relative reaches another; kept for the next.
                item.file.parent.mkdir(parents=True, exist_ok=True)
                item.file.write_text(item.module.text, encoding="utf-8", newline="")
            return self._judge(facts, placed)
        finally:
            for item in placed:
                item.file.unlink(missing_ok=True)
            self._stale = [item.file.as_posix() for item in placed]

    def _judge(self, facts: LibraryFacts, placed: Sequence[_Placed]) -> dict[str, Verdict]:
        timeout_s = _BATCH_TIMEOUT_S + _MODULE_TIMEOUT_S * len(placed)
        created = [item.file.as_posix() for item in placed]
        changes = {"created": created, "deleted": self._stale}
        questions = self._next_snapshot({"fileChanges": changes}, timeout_s)
        syntactic = questions.diagnostics("getSyntacticDiagnostics", created)
        verdicts: dict[str, Verdict] = {}
        sound = []
        for item, found in zip(placed, syntactic, strict=True):
            if found:
                verdicts[item.text] = _verdict(self._diagnostics(item, found))
            else:
                sound.append(item)
        if verdicts:
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
        """Return the verdicts on modules without syntax errors."""
        files = [item.file.as_posix() for item in sound]
        semantic = questions.diagnostics("getSemanticDiagnostics", files)
        modules = {file: item.module for file, item in zip(files, sound, strict=True)}
        judged = judge(questions, facts, self._profile, modules)
        return {
            item.text: Verdict(
                compiles=not found,
                diagnostics=self._diagnostics(item, found),
                rules=judged[file].violations(),
                symbols=judged[file].references.used_symbols(),
            )
            for file, item, found in zip(files, sound, semantic, strict=True)
        }

    def _diagnostics(
        self, item: _Placed, found: Sequence[dict[str, Any]]
    ) -> tuple[Diagnostic, ...]:
        diagnostics = []
        for entry in found:
            line, column = item.module.position(entry["pos"])
            message = self._portable("\n".join(_message_lines(entry)), item.file)
            diagnostics.append(
                Diagnostic(code=entry["code"], line=line, column=column, message=message)
            )
        return tuple(sorted(diagnostics, key=lambda one: (one.line, one.column, one.code)))

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
            except CompilerFailedError as error:
                self._close()
                raise QiPipelineError(
                    f"the TypeScript compiler cannot load the library at {self._library.root}: "
                    f"{error}; delete that folder to rebuild it, or choose another revision"
                ) from error
        return self._facts

    def _close(self) -> None:
        self._compiler.stop()
        self._facts, self._snapshot, self._stale = None, 0, []

    def _next_snapshot(self, parameters: dict[str, Any], timeout_s: float) -> Questions:
        """Move the compiler to the state that `parameters` describe and forget the last one."""
        (state,) = self._compiler.ask([("updateSnapshot", parameters)], timeout_s)
        if self._snapshot:
            self._compiler.ask([("release", {"snapshot": self._snapshot})], timeout_s)
        self._snapshot = state["snapshot"]
        return Questions(self._compiler, self._snapshot, state["projects"][0]["id"], timeout_s)


def _message_lines(entry: dict[str, Any]) -> list[str]:
    chain = [line for link in entry.get("messageChain") or [] for line in _message_lines(link)]
    return [entry["text"], *(f"  {line}" for line in chain)]


def _verdict(diagnostics: tuple[Diagnostic, ...]) -> Verdict:
    return Verdict(compiles=not diagnostics, diagnostics=diagnostics, rules=(), symbols=())


def _failing(message: str) -> Verdict:
    return _verdict((Diagnostic(code=OWN_CODE, line=1, column=1, message=message),))
