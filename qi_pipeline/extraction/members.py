"""Calls of one file, members of instances (`logger.info`) included.

Flows in: a parsed file and the library's exports. Flows out: `FileCalls`: the calls that syntax
decides, and a question for each member call whose receiver's type it does not. Asking a type
checker belongs to `validation.members`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tree_sitter import Node

from qi_pipeline.extraction.blocks import CompletedBlock
from qi_pipeline.extraction.calls import (
    Call,
    CallForm,
    MemberCall,
    call_at,
    imported_calls,
    member_calls,
)
from qi_pipeline.extraction.classes import ClassTable
from qi_pipeline.extraction.declared_types import DeclaredTypes, Named
from qi_pipeline.extraction.exports import LibraryExports, Namespace
from qi_pipeline.extraction.names import FileNames
from qi_pipeline.extraction.syntax import Module


@dataclass(frozen=True)
class MemberQuestion:
    """A member call whose receiver's type syntax alone does not decide."""

    byte: int
    """Offset of the callee expression's start in the file (as `Call.byte`)."""
    name_byte: int
    """Offset of the member's name."""


@dataclass(frozen=True)
class FileCalls:
    """The library calls of one file, as far as syntax goes."""

    calls: tuple[Call, ...]
    """In source order."""
    questions: tuple[MemberQuestion, ...]
    """In source order."""


class MemberOracle(Protocol):
    """Answers member questions with a type checker."""

    def resolve(
        self, texts: Mapping[str, str], questions: Mapping[str, Sequence[MemberQuestion]]
    ) -> Mapping[str, Mapping[int, tuple[str, str]]]:
        """Return file to `name_byte` to (package, "Class.member"); no library member, no entry.

        `texts` is every file to be in the program, by repository path.
        """
        ...


def _extent(callee: Node) -> tuple[int, int]:
    return callee.start_byte, callee.end_byte


class _Verdict(Enum):
    NO_MEMBER = "no member of the library"
    UNDECIDED = "only a type checker can tell"


class CallResolver:
    """Resolves the calls of files against one library."""

    def __init__(self, library: LibraryExports) -> None:
        """Use the exports and the declarations of `library`."""
        self.library = library
        self._classes = ClassTable(library)
        self._types = DeclaredTypes(library, self._classes)

    def resolve(self, module: Module, path: str) -> FileCalls:
        """Return the file's library calls and the member calls that need a type checker."""
        if not self.library.is_reached_by(module, path):
            return FileCalls((), ())
        if self.library.modules.get(path) is module:
            return self._calls(self._types.names_of(path))
        return self._calls(FileNames.of_module(module, path, self.library))

    def resolve_block(self, completed: CompletedBlock, path: str) -> FileCalls:
        """Return the calls of a document's block as `resolve` does; offsets are the block's."""
        block = completed.block
        if not completed.added and not self.library.is_reached_by(block, path):
            return FileCalls((), ())
        names = FileNames(
            block,
            path,
            self.library,
            imports=completed.imports,
            occurrences=completed.occurrences,
        )
        return self._calls(names)

    def _calls(self, names: FileNames) -> FileCalls:
        calls = list(imported_calls(names))
        questions: list[MemberQuestion] = []
        for call in member_calls(names, self._classes.called_names):
            found = self._resolved(call, names)
            if isinstance(found, Call):
                calls.append((call.callee, found))
            elif found is _Verdict.UNDECIDED:
                questions.append(MemberQuestion(call.callee.start_byte, call.name_byte))
        return FileCalls(
            # The calls of a chain begin at one place; the innermost ends first.
            tuple(call for _, call in sorted(calls, key=lambda pair: _extent(pair[0]))),
            tuple(sorted(questions, key=lambda question: question.name_byte)),
        )

    def _resolved(self, call: MemberCall, names: FileNames) -> Call | _Verdict:
        if isinstance(names.meaning(call.target), Namespace):
            return _Verdict.NO_MEMBER
        whole, is_static = self._types.receiver(call.target, names)
        if not isinstance(whole, Named):
            return _Verdict.UNDECIDED
        member, certain = self._types.member(whole, call.name, is_static=is_static)
        if member is None and whole.declaration is None:
            return _Verdict.NO_MEMBER
        if member is None or not certain:
            return _Verdict.UNDECIDED
        symbol = self.library.symbol_of(member.owner)
        if symbol is None:
            return _Verdict.NO_MEMBER
        form: CallForm = "static_member" if is_static else "instance_member"
        full_name = f"{symbol.name}.{call.name}"
        return call_at(names.module, call.callee, symbol.package, full_name, form)
