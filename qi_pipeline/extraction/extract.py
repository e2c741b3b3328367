"""From a snapshot to its patterns and calls.

Flows in: a `Snapshot` and a `Profile`. Flows out: an `Extraction`: one `Pattern` per unit that uses
the library, every resolved call, and what could not be read. Verdicts belong to `validation`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from qi_pipeline.artefacts import content_hash
from qi_pipeline.extraction.assembly import ModuleAssembler, complete_block
from qi_pipeline.extraction.calls import Call, bind_names, resolve_calls
from qi_pipeline.extraction.classification import Features, categorize, classify, measure
from qi_pipeline.extraction.documents import CodeBlock, markdown_blocks, notebook_cells
from qi_pipeline.extraction.exports import LibraryExports
from qi_pipeline.extraction.instructions import block_instruction, unit_instruction
from qi_pipeline.extraction.pattern import Pattern, PatternMetadata, PatternType, SourceKind
from qi_pipeline.extraction.syntax import (
    Module,
    parse_module,
    string_value,
    syntax_error_line,
)
from qi_pipeline.extraction.units import Unit, cut_units
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile

_TYPESCRIPT_KINDS = frozenset({"app", "implementation", "test"})


@dataclass(frozen=True)
class LocatedCall:
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
class Extraction:
    """All that extraction found in one snapshot."""

    patterns: tuple[Pattern, ...]
    """Sorted by id."""
    calls: tuple[LocatedCall, ...]
    """Sorted by file and place."""
    unreadable: tuple[Unreadable, ...]
    """Sorted by file and line."""
    files_read: int


def extract_patterns(snapshot: Snapshot, profile: Profile) -> Extraction:
    """Extract every pattern and call of a snapshot.

    Raises QiPipelineError when the snapshot does not hold the profile's library at all.
    """
    return _Extractor(snapshot, profile).run()


def read_library(snapshot: Snapshot, profile: Profile) -> LibraryExports:
    """Parse the snapshot's TypeScript files and read what the library exports."""
    modules = {
        file.path: parse_module(snapshot.read_text(file))
        for file in snapshot.files
        if file.kind in _TYPESCRIPT_KINDS and file.path.endswith(".ts")
    }
    return LibraryExports(modules, profile)


class _Extractor:
    def __init__(self, snapshot: Snapshot, profile: Profile) -> None:
        self.snapshot = snapshot
        self.profile = profile
        self.library = read_library(snapshot, profile)
        self.assembler = ModuleAssembler(self.library)
        self.unreadable: list[Unreadable] = []
        self.calls: list[LocatedCall] = []

    def run(self) -> Extraction:
        sources = [file for file in self.snapshot.files if file.kind != "manifest"]
        code = [file for file in sources if file.path in self.library.modules]
        units = [(file, unit) for file in code for unit in self._units(file)]
        tested = set(_symbols([item.call for item in self.calls if item.source_kind == "test"]))
        patterns = [p for f, u in units if (p := self._unit_pattern(f, u, tested)) is not None]
        for file in sources:
            if file.path not in self.library.modules:
                patterns.extend(self._document_patterns(file, tested))
        return Extraction(
            patterns=tuple(sorted(patterns, key=lambda pattern: pattern.id)),
            calls=tuple(sorted(self.calls, key=_place)),
            unreadable=tuple(sorted(self.unreadable, key=lambda item: (item.file, item.line))),
            files_read=len(sources),
        )

    def _units(self, file: SnapshotFile) -> list[Unit]:
        kind = _source_kind(file)
        module = self.library.modules[file.path]
        line = syntax_error_line(module)
        if line is not None:
            self.unreadable.append(Unreadable(file.path, line, "TypeScript syntax error"))
            return []
        calls = resolve_calls(module, bind_names(module, file.path, self.library))
        self.calls.extend(LocatedCall(file.path, kind, call) for call in calls)
        return cut_units(module, file.path, kind, calls)

    def _unit_pattern(self, file: SnapshotFile, unit: Unit, tested: set[str]) -> Pattern | None:
        own = self.library.declared_in(unit.file).get(unit.container)
        implements = self.library.symbol_of(own) if own is not None else None
        symbols = _symbols(unit.calls)
        pattern_type = classify(
            [*symbols, *([implements.qualified] if implements else [])],
            unit.container,
            self.profile,
        )
        if pattern_type is None:
            return None
        implementation = self.assembler.assemble(unit)
        covered = {implements.qualified} if implements else set(symbols)
        return self._pattern(
            file,
            container=unit.container,
            identity=[unit.kind, unit.ordinal],
            pattern_type=pattern_type,
            instruction=unit_instruction(unit, _packages(symbols)),
            implementation=implementation,
            # An assembled module opens with its imports, up to the first blank line.
            imports=parse_module(implementation.partition("\n\n")[0]),
            features=measure([unit.statement], symbols),
            line_range=unit.line_range,
            symbols=symbols,
            tested=covered <= tested,
        )

    def _document_patterns(self, file: SnapshotFile, tested: set[str]) -> Iterator[Pattern]:
        document = PurePosixPath(file.path).stem
        seen: Counter[str] = Counter()
        for block in self._blocks(file):
            module = parse_module(block.text)
            place = file.path if block.cell is None else f"{file.path}#cell={block.cell}"
            line = syntax_error_line(module)
            if line is not None:
                reason = "code block with a TypeScript syntax error"
                self.unreadable.append(Unreadable(place, block.first_line + line - 1, reason))
                continue
            self._record_block_calls(place, _source_kind(file), block, module)
            completed = parse_module(complete_block(module, self.library))
            found = resolve_calls(completed, bind_names(completed, place, self.library))
            symbols = _symbols(found)
            pattern_type = classify(symbols, "", self.profile)
            if pattern_type is None:
                continue
            container = " > ".join(block.headings) or document
            seen[container] += 1
            first = block.first_line
            yield self._pattern(
                file,
                container=container,
                identity=["block" if block.cell is None else "cell", seen[container] - 1],
                pattern_type=pattern_type,
                instruction=block_instruction(block, document, _packages(symbols)),
                implementation=completed.text,
                imports=completed,
                features=measure(
                    [n for n in completed.root.named_children if n.type != "import_statement"],
                    symbols,
                ),
                line_range=(first, first + block.text.rstrip("\n").count("\n")),
                symbols=symbols,
                tested=set(symbols) <= tested,
            )

    def _blocks(self, file: SnapshotFile) -> Sequence[CodeBlock]:
        text = self.snapshot.read_text(file)
        if file.kind != "notebook":
            return markdown_blocks(text)
        try:
            return notebook_cells(text)
        except ValueError as error:
            self.unreadable.append(Unreadable(file.path, 1, f"not a readable notebook: {error}"))
            return []

    def _record_block_calls(
        self, place: str, kind: SourceKind, block: CodeBlock, module: Module
    ) -> None:
        for call in resolve_calls(module, bind_names(module, place, self.library)):
            margin = block.margins[call.line - 1] if block.margins else 0
            line = call.line + block.first_line - 1
            shifted = replace(call, line=line, column=call.column + margin)
            self.calls.append(LocatedCall(place, kind, shifted))

    def _pattern(  # noqa: PLR0913 - one keyword per field of the record
        self,
        file: SnapshotFile,
        *,
        container: str,
        identity: list[str | int],
        pattern_type: PatternType,
        instruction: str,
        implementation: str,
        imports: Module,
        features: Features,
        line_range: tuple[int, int],
        symbols: tuple[str, ...],
        tested: bool,
    ) -> Pattern:
        return Pattern(
            id=content_hash([file.path, container, *identity])[:16],
            type=pattern_type,
            instruction=instruction,
            implementation=implementation,
            complexity=features.complexity,
            category=categorize(features),
            metadata=PatternMetadata(
                source_file=file.path,
                line_range=line_range,
                dependencies=_dependencies(imports),
                test_coverage=tested,
            ),
            symbols=symbols,
            commit=self.snapshot.commit,
            blob=file.blob,
            container=container,
            source_kind=_source_kind(file),
        )


def _place(item: LocatedCall) -> tuple[str, int, int]:
    return item.file, item.call.line, item.call.column


def _source_kind(file: SnapshotFile) -> SourceKind:
    if file.kind == "manifest":
        raise ValueError(f"{file.path} is a manifest, not a source")
    return file.kind


def _symbols(calls: Sequence[Call]) -> tuple[str, ...]:
    """Return the qualified exported symbols of some calls; a static member counts as its class."""
    return tuple(sorted({f"{call.package}:{call.symbol.split('.')[0]}" for call in calls}))


def _packages(symbols: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({symbol.split(":")[0] for symbol in symbols}))


def _dependencies(module: Module) -> tuple[str, ...]:
    found = (
        string_value(statement.child_by_field_name("source"))
        for statement in module.root.named_children
        if statement.type == "import_statement"
    )
    return tuple(sorted({specifier for specifier in found if specifier}))
