"""The compiler over a whole source tree as it stands.

Where `checker` judges modules that stand alone against a library, a `SourceProgram` holds the
library, its apps, tests and code blocks side by side under their repository paths, so that relative
imports and inferred types mean what they mean to the people who wrote them. Flows in: texts by
path, and later states of the same tree. Flows out: diagnostics, rule violations and the library
members that names stand for. Nothing is run. Walking a history belongs to `evolution`.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self, TypeVar

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.compiler import Compiler, CompilerFailedError
from qi_pipeline.validation.judging import judge
from qi_pipeline.validation.project import PROBE, configuration, library_probe
from qi_pipeline.validation.questions import Questions
from qi_pipeline.validation.references import LibraryFacts
from qi_pipeline.validation.syntax import ParsedModule, parse_module
from qi_pipeline.validation.verdict import Diagnostic, RuleViolation
from qi_pipeline.validation.workspace import entries_among, import_paths

_TIMEOUT_S = 120.0
"""Longest wait for one round of questions over a whole tree."""
_TREE = "tree"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class LibraryMember:
    """A member of an exported class or interface."""

    package: str
    owner: str
    """Exported name of the class or interface that declares the member."""
    name: str
    is_static: bool


class SourceProgram:
    """One compiler process over a source tree; a context manager.

    Not safe to share between threads.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        profile: Profile,
        toolchain_dir: Path,
        *,
        node_modules: Path | None = None,
    ) -> None:
        """Take the tree's texts by repository path, and the npm dependencies if there are any.

        Imports of packages that are not there become `any`, which changes no answer about the
        library's own types.
        """
        self._profile = profile
        self._node_modules = node_modules
        self._directory = Path(tempfile.mkdtemp(prefix="qi-program-")).resolve()
        try:
            self._compiler = Compiler(toolchain_dir, self._directory)
        except QiPipelineError:
            self._directory.rmdir()
            raise
        self._files: dict[str, str] = {}
        self._wanted = dict(files)
        self._modules: dict[str, ParsedModule] = {}
        self._entries: dict[str, PurePosixPath] = {}
        self._facts: LibraryFacts | None = None
        self._snapshot = 0
        self._project = ""

    def __enter__(self) -> Self:
        """Lay out the tree and load it."""
        try:
            if self._node_modules is not None:
                modules = self._directory / "node_modules"
                modules.symlink_to(self._node_modules.resolve(), target_is_directory=True)
            self.update(self._wanted)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the compiler and remove the tree."""
        self._discard()

    def _discard(self) -> None:
        self._compiler.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def directory(self) -> Path:
        """Where the tree is laid out."""
        return self._directory

    @property
    def compiler_pid(self) -> int | None:
        """Process id of the compiler, for those who watch processes."""
        return self._compiler.pid

    @property
    def packages(self) -> tuple[str, ...]:
        """Names of the library's packages that the tree holds; empty before there are any."""
        return tuple(self._entries)

    def update(self, files: Mapping[str, str]) -> None:
        """Become the tree `files`; only what differs from the present one is read again.

        Raises QiPipelineError when the compiler cannot load the tree.
        """
        created, changed, deleted = self._write(files)
        entries = entries_among(self._library_paths(files), self._profile)
        moved = entries != self._entries
        self._entries = entries
        self._facts = None
        try:
            if self._compiler.pid is None or moved:
                self._open()
            elif created or changed or deleted:
                self._advance(
                    {"fileChanges": {"created": created, "changed": changed, "deleted": deleted}}
                )
        except CompilerFailedError as error:
            raise QiPipelineError(
                f"the TypeScript compiler cannot load a tree of {len(files)} files: {error}"
            ) from error

    def _library_paths(self, files: Iterable[str]) -> list[str]:
        return [path for path in files if self._profile.kind_of(path) == "implementation"]

    def _write(self, files: Mapping[str, str]) -> tuple[list[str], list[str], list[str]]:
        """Bring the folder in line with `files`; return what was created, changed and deleted."""
        deleted = [path for path in self._files if path not in files]
        for path in deleted:
            self._place(path).unlink()
            del self._files[path]
        created: list[str] = []
        changed: list[str] = []
        for path, text in files.items():
            if self._files.get(path) != text:
                (changed if path in self._files else created).append(path)
                self._files[path] = text
                place = self._place(path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(_encodable(text), encoding="utf-8", newline="")
        for path in [*deleted, *changed]:
            self._modules.pop(path, None)
        return self._absolute(created), self._absolute(changed), self._absolute(deleted)

    def _absolute(self, paths: Iterable[str]) -> list[str]:
        return [self._place(path).as_posix() for path in paths]

    def _place(self, path: str) -> Path:
        return self._directory / _TREE / PurePosixPath(path)

    def _open(self) -> None:
        """Start the compiler on the present layout of the library."""
        paths = import_paths(
            self._directory / _TREE, self._profile, self._entries, set(self._files)
        )
        text = configuration(self._profile, paths, self._node_modules, include=[f"{_TREE}/**/*.ts"])
        (self._directory / "tsconfig.json").write_text(text, encoding="utf-8")
        probe, _ = library_probe(self._profile, self._entries)
        (self._directory / PROBE).write_text(probe or "export {};\n", encoding="utf-8")
        self._compiler.start()
        self._snapshot = 0
        self._advance({"openProjects": [(self._directory / "tsconfig.json").as_posix()]})

    def _advance(self, parameters: dict[str, Any]) -> None:
        (state,) = self._compiler.ask([("updateSnapshot", parameters)], _TIMEOUT_S)
        if self._snapshot:
            self._compiler.ask([("release", {"snapshot": self._snapshot})], _TIMEOUT_S)
        self._snapshot = state["snapshot"]
        self._project = state["projects"][0]["id"]

    @property
    def _questions(self) -> Questions:
        return Questions(self._compiler, self._snapshot, self._project, _TIMEOUT_S)

    def _library(self) -> LibraryFacts | None:
        """Return what the library exports; None while the tree holds no library."""
        if self._facts is None and self._entries:
            _, offsets = library_probe(self._profile, self._entries)
            probe = (self._directory / PROBE).as_posix()
            self._facts = self._questions.library_facts(probe, offsets, self._profile)
        return self._facts

    def _answered(self, ask: Callable[[LibraryFacts], Answer]) -> Answer | None:
        """Return what `ask` finds out, starting a compiler that died once more.

        None while the tree holds no library. Raises QiPipelineError when it dies again.
        """

        def ask_library() -> Answer | None:
            facts = self._library()
            return None if facts is None else ask(facts)

        return self._retried(ask_library)

    def _retried(self, ask: Callable[[], Answer]) -> Answer:
        """Return what `ask` finds out, starting a compiler that died once more."""
        try:
            return ask()
        except CompilerFailedError:
            self._facts = None
        try:
            self._open()
            return ask()
        except CompilerFailedError as error:
            raise QiPipelineError(
                f"the TypeScript compiler cannot judge a tree of {len(self._files)} files: {error}"
            ) from error

    def _module(self, path: str) -> ParsedModule:
        if path not in self._modules:
            text = _encodable(self._files[path]).removeprefix("\ufeff")
            self._modules[path] = parse_module(text)
        return self._modules[path]

    def diagnostics(self, paths: Sequence[str]) -> dict[str, tuple[Diagnostic, ...]]:
        """Return the syntactic, or else the semantic, errors of each file."""
        distinct = list(dict.fromkeys(paths))
        files = self._absolute(distinct)
        syntactic, semantic = self._retried(
            lambda: (
                self._questions.diagnostics("getSyntacticDiagnostics", files),
                self._questions.diagnostics("getSemanticDiagnostics", files),
            )
        )
        return {
            path: tuple(self._diagnostic(path, entry) for entry in first or second)
            for path, first, second in zip(distinct, syntactic, semantic, strict=True)
        }

    def _diagnostic(self, path: str, entry: dict[str, Any]) -> Diagnostic:
        line, column = self._module(path).position(entry["pos"])
        folder = (self._directory / _TREE).as_posix()
        message = str(entry["text"]).replace(f"{folder}/", "")
        return Diagnostic(code=entry["code"], line=line, column=column, message=message)

    def violations(self, paths: Sequence[str]) -> dict[str, tuple[RuleViolation, ...]]:
        """Return the rule violations of each file, as it stands in the tree.

        Empty for every file while the tree holds no library.
        """
        files = {self._place(path).as_posix(): self._module(path) for path in paths}
        judged = self._answered(lambda facts: judge(self._questions, facts, self._profile, files))
        if judged is None:
            return dict.fromkeys(paths, ())
        found = {file: judgement.violations() for file, judgement in judged.items()}
        return {path: found[self._place(path).as_posix()] for path in paths}

    def members(self, offsets: Mapping[str, Sequence[int]]) -> dict[str, dict[int, LibraryMember]]:
        """Return, for each file, the UTF-16 offset of a name to the library member it stands for.

        Names that stand for anything else are absent.
        """
        placed = {self._place(path).as_posix(): found for path, found in offsets.items()}
        found = self._answered(lambda facts: self._questions.members(placed, facts))
        if found is None:
            return {path: {} for path in offsets}
        return {
            path: {
                offset: LibraryMember(package, owner, name, is_static)
                for offset, (qualified, name, is_static) in found[file].items()
                for package, _, owner in [qualified.rpartition(":")]
            }
            for path, file in zip(offsets, placed, strict=True)
        }


def _encodable(text: str) -> str:
    """Replace lone surrogates, so that the parser and the compiler see equal texts."""
    return text.encode("utf-8", errors="replace").decode()
