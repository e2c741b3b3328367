"""What one file of a snapshot holds: its units as rows, its calls, and what is wrong with it.

Flows in: one file and the parsed snapshot. Flows out: a `FileExtraction`, which depends on nothing
but that file and what its `Trace` names, so that it can be kept. What only the whole snapshot can
tell (coverage by tests) is added in `extract`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from tree_sitter import Node

from qi_pipeline.artefacts import content_hash
from qi_pipeline.extraction.assembly import ModuleAssembler, UnfitUnitError
from qi_pipeline.extraction.blocks import CompletedBlock, complete_block
from qi_pipeline.extraction.calls import Call
from qi_pipeline.extraction.classification import categorize, classify, measure
from qi_pipeline.extraction.coverage import declaration_key
from qi_pipeline.extraction.documents import CodeBlock, markdown_blocks, notebook_cells
from qi_pipeline.extraction.exports import LibraryExports, declared_names
from qi_pipeline.extraction.instructions import block_instruction, unit_instruction
from qi_pipeline.extraction.members import (
    CallResolver,
    FileCalls,
    MemberQuestion,
)
from qi_pipeline.extraction.pattern import Category, PatternType, SourceKind
from qi_pipeline.extraction.signatures import relative_expressions
from qi_pipeline.extraction.syntax import (
    Module,
    nests_too_deeply,
    parse_module,
    position_of_byte,
    syntax_error_line,
    text_of,
)
from qi_pipeline.extraction.units import Unit, called_name, cut_units
from qi_pipeline.source.snapshot import SnapshotFile

_NO_CALLS = FileCalls((), ())
_BARE = "declares nothing: a bare call is no complete thing"
Answers = Mapping[int, tuple[str, str]]
"""Offset of a member's name to (package, `Class.member`)."""


class LocatedCall(NamedTuple):
    """One resolved call and where it stands (`file#cell=N` inside a notebook)."""

    file: str
    source_kind: SourceKind
    call: Call

    def record(self) -> dict[str, str | int]:
        """Return the exported form of the call."""
        return {
            "file": self.file,
            "line": self.call.line,
            "column": self.call.column,
            "symbol": self.call.symbol,
            "package": self.call.package,
            "form": self.call.form,
            "source_kind": self.source_kind,
        }


@dataclass(frozen=True)
class Unreadable:
    """A file or code block that could not be read, and why; the rest goes on without it."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """A unit that uses the library and is no pattern all the same."""

    file: str
    line: int
    container: str
    reason: str


@dataclass(frozen=True)
class UnitRow:
    """One unit as far as its own file tells."""

    id: str
    types: tuple[PatternType, ...]
    """The weightiest first; none when nothing is evidence of a type."""
    instruction: str
    implementation: str
    complexity: int
    category: Category
    line_range: tuple[int, int]
    dependencies: tuple[str, ...]
    symbols: tuple[str, ...]
    container: str
    source_kind: SourceKind
    declares: str | None
    """Its declaration in the library's call graph; None outside the library."""


@dataclass(frozen=True)
class Trace:
    """What decided a file's extraction beside the file itself and the library's surface."""

    imports: tuple[tuple[str, str, str, str], ...]
    """(file, specifier, imported name, what that meant) of each relative import that took part."""
    helpers: tuple[tuple[str, str, str], ...]
    """(file, name, hash of its statements) of each declaration of another file that was put in."""


@dataclass(frozen=True)
class FileExtraction:
    """All that one file gives."""

    units: tuple[UnitRow, ...] = ()
    calls: tuple[LocatedCall, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    undecided: int = 0
    """Member calls that neither syntax nor a type checker decided."""
    reaches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a file of the library: each declaration to the symbols and declarations it calls."""
    trace: Trace = Trace(imports=(), helpers=())


@dataclass(frozen=True)
class _Block:
    """One code block of a document, completed and resolved."""

    block: CodeBlock
    completed: CompletedBlock
    place: str
    """The file, or `file#cell=N`."""
    container: str
    name: str
    """The first name it defines; nothing when it defines none."""
    ordinal: int
    """Position among blocks of the same container and name."""
    is_whole: bool
    """Whether it declares something: a bare call is no complete thing."""
    found: FileCalls

    def calls(self, answers: Answers) -> list[Call]:
        """Return the block's calls; the offsets of `answers` are those of its module."""
        place = self.completed.byte_in_module
        known = {
            question.name_byte: answers[place(question.name_byte)]
            for question in self.found.questions
            if place(question.name_byte) in answers
        }
        return _with_answers(self.completed.block, self.found, known)


@dataclass(frozen=True)
class FileReading:
    """One file, read as far as syntax goes."""

    file: SnapshotFile
    known_as: str
    """What the file is known by in ids."""
    module: Module | None = None
    """The parsed file; None for documents and files that cannot be read."""
    found: FileCalls = _NO_CALLS
    blocks: tuple[_Block, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def questions(self) -> Iterator[tuple[str, str, Sequence[MemberQuestion]]]:
        """Yield (path for the type checker, text, questions) of the file or of its blocks."""
        if self.module is not None:
            yield self.file.path, self.module.text, self.found.questions
        for index, block in enumerate(self.blocks):
            place = block.completed.byte_in_module
            moved = [
                MemberQuestion(place(q.byte), place(q.name_byte)) for q in block.found.questions
            ]
            yield self.block_path(index), block.completed.text, moved

    def block_path(self, index: int) -> str:
        """Return the path under which the type checker sees a block."""
        return f"{self.file.path}/block-{index}.ts"


class FileExtractor:
    """Extracts single files of one snapshot."""

    def __init__(self, library: LibraryExports) -> None:
        """Use the parsed files and exports of `library`."""
        self.library = library
        self.profile = library.profile
        self.assembler = ModuleAssembler(library)
        self.resolver = CallResolver(library)
        self._library_files: dict[str, bool] = {}
        """Path to whether the file is part of a package of the library."""

    # ── Reading ──────────────────────────────────────────────────────────────────────────────────

    def read_code(self, file: SnapshotFile, known_as: str) -> FileReading:
        """Read a TypeScript file."""
        module = self.library.modules[file.path]
        line = syntax_error_line(module)
        if line is not None:
            problem = Unreadable(file.path, line, "TypeScript syntax error")
            return FileReading(file, known_as, unreadable=(problem,))
        found = self.resolver.resolve(module, file.path)
        return FileReading(file, known_as, module, found)

    def read_document(self, file: SnapshotFile, known_as: str, text: str) -> FileReading:
        """Read the TypeScript blocks of a document."""
        unreadable: list[Unreadable] = []
        blocks: list[_Block] = []
        seen: Counter[tuple[str, str]] = Counter()
        for block in self._blocks(file, text, unreadable):
            raw = parse_module(block.text)
            place = file.path if block.cell is None else f"{file.path}#cell={block.cell}"
            line = syntax_error_line(raw)
            if nests_too_deeply(raw):
                reason = "code block nested too deeply for a program"
                unreadable.append(Unreadable(place, block.first_line, reason))
                continue
            if line is not None:
                reason = "code block with a TypeScript syntax error"
                unreadable.append(Unreadable(place, block.first_line + line - 1, reason))
                continue
            completed = complete_block(raw, self.library)
            found = self.resolver.resolve_block(completed, place)
            if not found.calls and not found.questions:
                continue
            container = " > ".join(block.headings) or PurePosixPath(file.path).stem
            names = _defined_names(raw)
            name = names[0] if names else ""
            blocks.append(
                _Block(
                    block=block,
                    completed=completed,
                    place=place,
                    container=container,
                    name=name,
                    ordinal=seen[container, name],
                    is_whole=bool(names) or _holds_test(raw),
                    found=found,
                )
            )
            seen[container, name] += 1
        return FileReading(file, known_as, blocks=tuple(blocks), unreadable=tuple(unreadable))

    def _blocks(
        self, file: SnapshotFile, text: str, unreadable: list[Unreadable]
    ) -> Sequence[CodeBlock]:
        is_notebook = file.kind == "notebook"
        try:
            return notebook_cells(text) if is_notebook else markdown_blocks(text)
        except ValueError as error:
            kind = "notebook" if is_notebook else "document"
            unreadable.append(Unreadable(file.path, 1, f"not a readable {kind}: {error}"))
            return []

    # ── Extracting ───────────────────────────────────────────────────────────────────────────────

    def extract(
        self, reading: FileReading, answers: Mapping[str, Answers], *, asked: bool
    ) -> FileExtraction:
        """Return what a file gives, member calls by the `answers` of a type checker included."""
        units: list[UnitRow] = []
        left_out: list[LeftOut] = []
        calls: list[LocatedCall] = []
        trace = _Tracer(self.library, self.assembler)
        reaches: dict[str, tuple[str, ...]] = {}
        undecided = 0
        if reading.module is not None:
            path, kind = reading.file.path, source_kind(reading.file)
            merged = _with_answers(reading.module, reading.found, answers.get(path, {}))
            undecided += len(reading.found.questions)
            calls.extend(LocatedCall(path, kind, call) for call in merged)
            units.extend(self._code_rows(reading, reading.module, merged, left_out, trace))
            reaches = self._reaches(reading.file, reading.module, merged)
        for index, block in enumerate(reading.blocks):
            merged = block.calls(answers.get(reading.block_path(index), {}))
            undecided += len(block.found.questions)
            if merged:
                calls.extend(_block_calls(reading.file, block, merged))
                if block.is_whole:
                    units.append(self._block_row(reading, block, merged))
                else:
                    line = block.block.first_line
                    left_out.append(LeftOut(block.place, line, block.container, _BARE))
        return FileExtraction(
            units=tuple(units),
            calls=tuple(calls),
            unreadable=reading.unreadable,
            left_out=tuple(left_out),
            undecided=0 if asked else undecided,
            reaches=reaches,
            trace=trace.result(),
        )

    def _code_rows(
        self,
        reading: FileReading,
        module: Module,
        calls: Sequence[Call],
        left_out: list[LeftOut],
        trace: "_Tracer",
    ) -> Iterator[UnitRow]:
        path = reading.file.path
        trace.visit(path)
        occurrences = self.library.occurrences_of(path)
        for unit in cut_units(module, path, source_kind(reading.file), calls):
            try:
                assembled = self.assembler.assemble(unit)
            except UnfitUnitError as unfit:
                left_out.append(LeftOut(path, unit.line_range[0], unit.container, str(unfit)))
                continue
            for visited in assembled.files[1:]:
                trace.visit(visited)
            trace.put_in(path, assembled.helpers)
            symbols = symbols_of(unit.calls)
            own = self.library.declared_in(path).get(unit.container)
            implements = self.library.symbol_of(own) if own is not None else None
            evidence = [*symbols, *([implements.qualified] if implements else [])]
            features = measure([unit.statement], symbols, self.profile, occurrences)
            yield UnitRow(
                id=_id(reading.known_as, unit.container, unit.kind, unit.ordinal),
                types=classify(evidence, unit.container, self.profile),
                instruction=unit_instruction(unit, packages_of(symbols)),
                implementation=assembled.text,
                complexity=features.complexity,
                category=categorize(features),
                line_range=unit.line_range,
                dependencies=assembled.dependencies,
                symbols=symbols,
                container=unit.container,
                source_kind=unit.source_kind,
                declares=self._declares(reading.file, unit),
            )

    def _block_row(self, reading: FileReading, block: _Block, calls: Sequence[Call]) -> UnitRow:
        symbols = symbols_of(calls)
        completed = block.completed
        statements = completed.block.statements
        code = [node for node in statements if node.type != "import_statement"]
        features = measure(code, symbols, self.profile, completed.occurrences)
        stem = PurePosixPath(reading.file.path).stem
        kind = "block" if block.block.cell is None else "cell"
        first = block.block.first_line
        return UnitRow(
            id=_id(reading.known_as, block.container, kind, block.name, block.ordinal),
            types=classify(symbols, "", self.profile),
            instruction=block_instruction(block.block, stem, packages_of(symbols)),
            implementation=completed.text.strip() + "\n",
            complexity=features.complexity,
            category=categorize(features),
            line_range=(first, first + block.block.text.rstrip("\n").count("\n")),
            dependencies=completed.dependencies,
            symbols=symbols,
            container=block.container,
            source_kind=source_kind(reading.file),
            declares=None,
        )

    # ── The library's call graph ─────────────────────────────────────────────────────────────────

    def _in_library(self, file: SnapshotFile) -> bool:
        if file.path not in self._library_files:
            known_as = self.profile.layout_free_path(file.path)
            self._library_files[file.path] = file.kind == "implementation" and any(
                known_as.startswith(f"{package.name}/") for package in self.profile.packages
            )
        return self._library_files[file.path]

    def _declares(self, file: SnapshotFile, unit: Unit) -> str | None:
        return declaration_key(file.path, unit.container) if self._in_library(file) else None

    def _reaches(
        self, file: SnapshotFile, module: Module, calls: Sequence[Call]
    ) -> dict[str, tuple[str, ...]]:
        if not self._in_library(file):
            return {}
        places = [call.byte for call in calls]
        found: dict[str, set[str]] = {}
        for statement in module.statements:
            for name, kind, _ in declared_names(statement):
                if kind == "type":
                    continue
                first = bisect_left(places, statement.start_byte)
                last = bisect_left(places, statement.end_byte)
                targets = found.setdefault(declaration_key(file.path, name), set())
                targets.update(symbols_of(calls[first:last]))
                targets.update(
                    declaration_key(*helper)
                    for helper in self.assembler.internal_mentions(file.path, name)
                )
        return {name: tuple(sorted(targets)) for name, targets in found.items()}


WHOLE_FILE = "whole file"
"""Stands for the imported name where `import("./…")` may take anything of a file."""


class _Tracer:
    """Notes what the extraction of one file took from other files."""

    def __init__(self, library: LibraryExports, assembler: ModuleAssembler) -> None:
        self._library = library
        self._assembler = assembler
        self._visited: set[str] = set()
        self._imports: set[tuple[str, str, str]] = set()
        self._helpers: set[tuple[str, str]] = set()

    def visit(self, path: str) -> None:
        """Note that the relative imports of a file took part."""
        if path not in self._visited:
            self._visited.add(path)
            self._imports.update(
                (path, item.specifier, item.imported)
                for item in self._library.imports_of(path).values()
                if item.specifier.startswith(".")
            )
            self._imports.update(
                (path, specifier, WHOLE_FILE)
                for specifier in relative_expressions(self._library.modules[path].text)
            )

    def put_in(self, path: str, helpers: Sequence[tuple[str, str]]) -> None:
        """Note the declarations of other files than `path` that were put into a module."""
        self._helpers.update(helper for helper in helpers if helper[0] != path)

    def result(self) -> Trace:
        """Return the notes; what the imports meant is filled in by the cache."""
        return Trace(
            imports=tuple((*item, "") for item in sorted(self._imports)),
            helpers=tuple((*item, "") for item in sorted(self._helpers)),
        )


def source_kind(file: SnapshotFile) -> SourceKind:
    """Return the kind of source that a file is; a manifest is none."""
    if file.kind == "manifest":
        raise ValueError(f"{file.path} is a manifest, not a source")
    return file.kind


def symbols_of(calls: Sequence[Call]) -> tuple[str, ...]:
    """Return the qualified exported symbols of some calls; a member counts as its class."""
    return tuple(sorted({f"{call.package}:{call.symbol.split('.')[0]}" for call in calls}))


def packages_of(symbols: Sequence[str]) -> tuple[str, ...]:
    """Return the packages of qualified symbols."""
    return tuple(sorted({symbol.split(":")[0] for symbol in symbols}))


def _id(*identity: str | int) -> str:
    return content_hash(list(identity))[:16]


def _with_answers(module: Module, found: FileCalls, answers: Answers) -> list[Call]:
    """Return the calls in source order, those that a type checker decided included."""
    calls = list(found.calls)
    for question in found.questions:
        if question.name_byte in answers:
            package, symbol = answers[question.name_byte]
            line, column = position_of_byte(module, question.byte)
            calls.append(Call(line, column, symbol, package, "instance_member", question.byte))
    return sorted(calls, key=lambda call: call.byte)


def _defined_names(module: Module) -> list[str]:
    return [name for statement in module.statements for name, _, _ in declared_names(statement)]


def _holds_test(module: Module) -> bool:
    tests = ("describe", "suite", "it", "test")
    return any(called_name(statement) in tests for statement in module.statements)


def _block_calls(file: SnapshotFile, block: _Block, calls: Sequence[Call]) -> Iterator[LocatedCall]:
    """Yield the block's calls at their place in the file.

    A block leaves imports out that its reader can fill in, so a library name that nothing in the
    block declares means the library.
    """
    margins, lines_before = block.block.margins, block.block.first_line - 1
    for call in calls:
        column = call.column + (margins[call.line - 1] if margins else 0)
        line = call.line + lines_before
        moved = Call(line, column, call.symbol, call.package, call.form, call.byte)
        yield LocatedCall(block.place, source_kind(file), moved)


def statement_hash(statements: Sequence[Node]) -> str:
    """Return the hash of the text of some statements."""
    return content_hash([text_of(statement) for statement in statements])
