"""What every file of one state does with the library.

Flows in: the files of a state, the texts of their blobs, the compiler. Flows out: a `TreeUsage`,
from the cache where it was found before. A file is read again only when it, the library's surface
or the surface of a file it is built on is new, and only such files are put to the compiler. The
order of states, and what follows from them, belong to `evolve` and `analysis`.
"""

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evolution.cache import EvolutionCache
from qi_pipeline.evolution.records import FileUsage, TreeUsage
from qi_pipeline.evolution.surface import Surfaces, relative_specifiers, surface_hash
from qi_pipeline.evolution.usage import unbound_calls, unknown_imports, use_of
from qi_pipeline.extraction.blocks import complete_block
from qi_pipeline.extraction.documents import CodeBlock, markdown_blocks, notebook_cells
from qi_pipeline.extraction.exports import LibraryExports
from qi_pipeline.extraction.members import CallResolver
from qi_pipeline.extraction.pattern import SourceKind
from qi_pipeline.extraction.syntax import Module, parse_module, syntax_error_line
from qi_pipeline.library.profile import Profile, matches_glob
from qi_pipeline.source.history import BlobReader
from qi_pipeline.source.snapshot import SnapshotFile
from qi_pipeline.source.tree import tree_hash
from qi_pipeline.validation.compiler import CompilerFailedError, compiler_executable
from qi_pipeline.validation.program import SourceProgram

_CODE_KINDS = frozenset({"implementation", "app", "test"})


@dataclass(frozen=True)
class _Parsed:
    """One blob as TypeScript: a file as one module, a document as its code blocks."""

    modules: tuple[Module, ...]
    """Without those that have syntax errors."""
    unreadable: int

    @cached_property
    def surface(self) -> str:
        return surface_hash(self.modules[0]) if self.modules else ""

    @cached_property
    def specifiers(self) -> tuple[str, ...]:
        return relative_specifiers(self.modules[0]) if self.modules else ()


def _is_code(file: SnapshotFile) -> bool:
    return file.kind in _CODE_KINDS and file.path.endswith(".ts")


_Content = tuple[str, str]
"""Blob id and how it is read: equal texts are one thing as a module and another as a document."""


def _content(file: SnapshotFile) -> _Content:
    return file.blob, "code" if _is_code(file) else file.kind


def _parse(file: SnapshotFile, text: str) -> _Parsed:
    if _is_code(file):
        modules = [parse_module(text)]
        unread = 0
    else:
        blocks, unread = _blocks(file, text)
        modules = [parse_module(block.text) for block in blocks]
    sound = tuple(module for module in modules if syntax_error_line(module) is None)
    return _Parsed(sound, unread + len(modules) - len(sound))


def _blocks(file: SnapshotFile, text: str) -> tuple[Sequence[CodeBlock], int]:
    if file.kind != "notebook":
        return markdown_blocks(text), 0
    try:
        return notebook_cells(text), 0
    except ValueError:
        return (), 1


class Tree:
    """One state with its files parsed and its library found."""

    def __init__(
        self, files: Sequence[SnapshotFile], parsed: Mapping[_Content, _Parsed], profile: Profile
    ) -> None:
        """Take the state's files and what was parsed of their contents."""
        self.files = [file for file in files if file.kind != "manifest"]
        self._parsed = parsed
        self.profile = profile
        code = {
            file.path: parsed[_content(file)].modules[0]
            for file in self.files
            if _is_code(file) and parsed[_content(file)].modules
        }
        entries = _entries(self.files, profile)
        self.library = LibraryExports(code, profile) if entries & code.keys() else None
        chosen = set(self.library.entries.values()) if self.library is not None else set()
        copies = tuple(sorted(_folder(entry) for entry in entries - chosen))
        self.counted = [file for file in self.files if not _lies_in(file.path, copies)]
        """The files, without copies of the library in an older layout beside the chosen one."""
        self.code = code
        self._older = self._library_of_copies(chosen) if copies else None

    def _library_of_copies(self, chosen: Iterable[str]) -> LibraryExports:
        """Read the library as files see it that still import the older copy by its path."""
        newer = tuple(_folder(entry) for entry in chosen)
        left = {path: module for path, module in self.code.items() if not _lies_in(path, newer)}
        return LibraryExports(left, self.profile)

    @cached_property
    def readings(self) -> list[CallResolver]:
        """What calls mean in the library, and in its older copy if there is one."""
        found = (self.library, self._older)
        return [CallResolver(library) for library in found if library is not None]

    def parsed(self, file: SnapshotFile) -> _Parsed:
        """Return what was parsed of a file."""
        return self._parsed[_content(file)]

    @cached_property
    def surfaces(self) -> Surfaces:
        """What the files can see of each other."""
        code = [file for file in self.files if _is_code(file)]
        return Surfaces(
            {file.path: self.parsed(file).surface for file in code},
            {file.path: self.parsed(file).specifiers for file in code},
            self.library.entries if self.library is not None else {},
        )


def _entries(files: Iterable[SnapshotFile], profile: Profile) -> set[str]:
    globs = [glob for package in profile.packages for glob in package.entries]
    return {
        file.path
        for file in files
        if file.kind == "implementation" and any(matches_glob(file.path, glob) for glob in globs)
    }


def _folder(path: str) -> str:
    return f"{posixpath.dirname(path)}/"


def _lies_in(path: str, folders: tuple[str, ...]) -> bool:
    return path.startswith(folders)


class Surveyor:
    """Surveys one state after the other; a context manager around one compiler process."""

    def __init__(
        self, reader: BlobReader, profile: Profile, toolchain_dir: Path, cache: EvolutionCache
    ) -> None:
        """Take a reader of the repository's blobs, the compiler's folder and the cache.

        Raises QiPipelineError when there is no compiler in the folder.
        """
        # Without a compiler every state would count as one that cannot be judged.
        compiler_executable(toolchain_dir)
        self._reader = reader
        self._profile = profile
        self._toolchain_dir = toolchain_dir
        self._cache = cache
        self._stack = ExitStack()
        self._program: SourceProgram | None = None
        self._parsed: dict[_Content, _Parsed] = {}
        self.states_surveyed = 0
        self.files_read = 0
        self.modules_judged = 0

    def __enter__(self) -> Self:
        """Start nothing yet: a history that is known needs no compiler."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the compiler, if one was needed."""
        self._end_program()

    def _end_program(self) -> None:
        self._program = None
        self._stack.close()

    def survey(self, files: Sequence[SnapshotFile]) -> TreeUsage:
        """Return how each file of one state uses the library."""
        key = self._cache.key("tree", tree_hash(files))
        known = self._cache.get(key, TreeUsage)
        if known is not None:
            return known
        self.states_surveyed += 1
        usage = self._survey(self.tree(files))
        if not usage.unjudged:
            self._cache.put(key, usage)
        return usage

    def tree(self, files: Sequence[SnapshotFile]) -> Tree:
        """Parse one state; blobs it shares with the one before are not parsed again."""
        kept = {}
        for file in files:
            if file.kind != "manifest":
                content = _content(file)
                kept[content] = self._parsed.get(content) or _parse(
                    file, self._reader.read_text(file.blob)
                )
        self._parsed = kept
        return Tree(files, kept, self._profile)

    def _survey(self, tree: Tree) -> TreeUsage:
        if tree.library is None:
            return TreeUsage()
        keys = {file.path: self._file_key(tree, file) for file in tree.counted}
        found = {path: self._cache.get(key, FileUsage) for path, key in keys.items()}
        new = [file for file in tree.counted if found[file.path] is None]
        pieces = {file.path: _pieces(tree, file) for file in new}
        self.files_read += len(new)
        unjudged = ""
        compiler_failed = False
        violations: Mapping[str, Mapping[str, int]] = {}
        try:
            violations = self._violations(tree, pieces)
        except QiPipelineError as error:
            unjudged = str(error)
            compiler_failed = isinstance(error.__cause__, CompilerFailedError)
            if compiler_failed:
                # The next state gets a fresh one, or it would not be judged either.
                self._end_program()
        for file in new:
            usage = _usage(tree, file, pieces[file.path], violations.get(file.path, {}))
            found[file.path] = usage
            if not unjudged:
                self._cache.put(keys[file.path], usage)
        return TreeUsage(
            exports={
                symbol.qualified: symbol.declaration.kind
                for symbols in tree.library.symbols.values()
                for symbol in symbols.values()
            },
            files={path: usage for path, usage in found.items() if usage is not None},
            unjudged=unjudged,
            compiler_failed=compiler_failed,
        )

    def _file_key(self, tree: Tree, file: SnapshotFile) -> str:
        surfaces = tree.surfaces
        below = surfaces.of_imports(file.path) if _is_code(file) else []
        return self._cache.key("file", file.path, file.blob, file.kind, surfaces.library, below)

    def _violations(
        self, tree: Tree, pieces: Mapping[str, Mapping[str, Module]]
    ) -> dict[str, Counter[str]]:
        """Return the violations by rule of each file in `pieces`, judged in its surroundings."""
        asked = {place: path for path, parts in pieces.items() for place in parts}
        if not asked:
            return {}
        texts = {path: module.text for path, module in tree.code.items()}
        for parts in pieces.values():
            texts.update({place: module.text for place, module in parts.items()})
        program = self._opened(texts)
        found: dict[str, Counter[str]] = {path: Counter() for path in pieces}
        for place, violations in program.violations(list(asked)).items():
            found[asked[place]].update(violation.id for violation in violations)
        self.modules_judged += len(asked)
        return found

    def _opened(self, texts: Mapping[str, str]) -> SourceProgram:
        if self._program is None:
            self._program = self._stack.enter_context(
                SourceProgram(texts, self._profile, self._toolchain_dir)
            )
        else:
            self._program.update(texts)
        return self._program


def _pieces(tree: Tree, file: SnapshotFile) -> dict[str, Module]:
    """Return the modules to look at by the path they are compiled under."""
    modules = tree.parsed(file).modules
    if _is_code(file):
        return dict(zip([file.path], modules, strict=False))
    if tree.library is None:
        return {}
    return {
        f"{file.path}/block-{number}.ts": complete_block(module, tree.library).module
        for number, module in enumerate(modules)
    }


def _usage(
    tree: Tree, file: SnapshotFile, pieces: Mapping[str, Module], violations: Mapping[str, int]
) -> FileUsage:
    calls: Counter[str] = Counter()
    references: Counter[str] = Counter()
    for place, module in pieces.items():
        use = use_of(module, place, tree.readings)
        calls.update(use.calls)
        references.update(use.references)
    return FileUsage(
        kind=cast("SourceKind", file.kind),
        calls=_sorted(calls),
        references=_sorted(references),
        violations=_sorted(violations),
        unknown=tuple(sorted(set(_unknown(tree, file, pieces.values())))),
        unreadable=tree.parsed(file).unreadable,
    )


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}


def _unknown(tree: Tree, file: SnapshotFile, modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        if tree.library is not None:
            yield from unknown_imports(module, tree.profile, tree.library)
        if not _is_code(file):
            yield from unbound_calls(module)
