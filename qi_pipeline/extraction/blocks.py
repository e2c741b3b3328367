"""Make a document's code block a complete module: the imports that its reader fills in, exports.

Flows in: a parsed block and what the library exports. Flows out: a `CompletedBlock`: the module's
text, and where it differs from the block. Units of source files are completed in `assembly`.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tree_sitter import Node

from qi_pipeline.extraction.exports import (
    ImportedName,
    LibraryExports,
    declared_names,
    read_imports,
)
from qi_pipeline.extraction.import_lines import import_lines
from qi_pipeline.extraction.scopes import Occurrences, Scopes
from qi_pipeline.extraction.syntax import Module, parse_module, string_value


@dataclass(frozen=True)
class CompletedBlock:
    """A document's code block and what makes it a module."""

    block: Module
    text: str
    """The module."""
    insertions: tuple[tuple[int, int], ...]
    """Where in the block text was put in, and how many bytes, in order."""
    added: frozenset[str]
    """The names whose import was missing."""
    imports: Mapping[str, ImportedName]
    """The module's imports by local name."""
    occurrences: Occurrences
    """Those of the block."""

    @cached_property
    def module(self) -> Module:
        """The module, parsed."""
        return parse_module(self.text) if self.insertions else self.block

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Specifiers of the module's imports, sorted."""
        written = (
            string_value(statement.child_by_field_name("source"))
            for statement in self.block.statements
            if statement.type == "import_statement"
        )
        bound = (item.specifier for item in self.imports.values())
        return tuple(sorted({specifier for specifier in (*written, *bound) if specifier}))

    def byte_in_module(self, byte: int) -> int:
        """Return the offset in the module of an offset in the block."""
        return byte + sum(length for place, length in self.insertions if place <= byte)


def complete_block(block: Module, library: LibraryExports) -> CompletedBlock:
    """Complete a document's code block.

    Imports of library names that it uses and neither declares nor imports are added; a block that
    exports nothing exports its definitions.
    """
    occurrences = Occurrences(block.root)
    statements = block.statements
    imports = {item.local: item for item in read_imports(block)}
    own = {name for s in statements for name, _, _ in declared_names(s)}
    edits = _import_edits(block, occurrences, own | imports.keys(), library)
    changes = [(edit.place, edit.text) for edit in edits]
    if not any(s.type == "export_statement" for s in statements):
        changes.extend(
            (s.start_byte, "export ")
            for s in statements
            if s.type in _EXPORTABLE and _is_definition(s)
        )
    changes.sort(key=lambda change: change[0])
    source, insertions = block.source, []
    parts: list[bytes] = []
    done = 0
    for place, text in changes:
        parts += [source[done:place], text.encode()]
        insertions.append((place, len(parts[-1])))
        done = place
    added = {item.local: item for edit in edits for item in edit.imports}
    return CompletedBlock(
        block=block,
        text=b"".join([*parts, source[done:]]).decode() if changes else block.text,
        insertions=tuple(insertions),
        added=frozenset(added),
        imports=imports | added,
        occurrences=occurrences,
    )


class _ImportEdit(NamedTuple):
    """A text that imports what a block lacks."""

    place: int
    text: str
    imports: tuple[ImportedName, ...]


def _import_edits(
    block: Module, occurrences: Occurrences, own: AbstractSet[str], library: LibraryExports
) -> list[_ImportEdit]:
    """Return the missing imports of a block that declares or imports the names `own`."""
    known = library.names_anywhere()
    wanted = (known.keys() & occurrences.by_name.keys()) - own
    if not wanted:
        return []
    scopes = Scopes(occurrences, wanted)
    missing: dict[str, dict[str, tuple[str, bool]]] = {}
    for name in sorted(scopes.names_in(block.root)):
        symbol = known[name]
        named = missing.setdefault(symbol.package, {})
        named[name] = (symbol.name, symbol.declaration.kind == "type")
    if not missing:
        return []
    statements = block.statements
    imports = [s for s in statements if s.type == "import_statement"]
    edits: list[_ImportEdit] = []
    separate: dict[str, dict[str, tuple[str, bool]]] = {}
    for package, named in missing.items():
        found = _named_imports_end(imports, package, library)
        if found is None:
            separate[package] = named
            continue
        specifier, place = found
        listed = (f"type {name}" if is_type else name for name, (_, is_type) in named.items())
        edits.append(_ImportEdit(place, f", {', '.join(listed)}", _imported(specifier, named)))
    if separate:
        lines = import_lines(separate)[0]
        gap = "\n" if imports and imports[0] == statements[0] else "\n\n"
        added = [item for package, named in separate.items() for item in _imported(package, named)]
        edits.append(_ImportEdit(0, lines + gap, tuple(added)))
    return edits


def _imported(specifier: str, named: Mapping[str, tuple[str, bool]]) -> tuple[ImportedName, ...]:
    return tuple(
        ImportedName(local, name, specifier, is_type) for local, (name, is_type) in named.items()
    )


def _named_imports_end(
    imports: Iterable[Node], package: str, library: LibraryExports
) -> tuple[str, int] | None:
    """Return the specifier of an import of values from the package, and where its names end."""
    for statement in imports:
        specifier = string_value(statement.child_by_field_name("source")) or ""
        meant = library.profile.package_of_specifier(specifier)
        clause = next((c for c in statement.named_children if c.type == "import_clause"), None)
        is_type = any(child.type == "type" for child in statement.children)
        if meant is None or meant.name != package or clause is None or is_type:
            continue
        for part in clause.named_children:
            if part.type == "named_imports" and part.named_children:
                return specifier, part.named_children[-1].end_byte
    return None


_EXPORTABLE = frozenset(
    {
        "function_declaration",
        "class_declaration",
        "abstract_class_declaration",
        "interface_declaration",
        "type_alias_declaration",
        "lexical_declaration",
    }
)


def _is_definition(statement: Node) -> bool:
    """Tell definitions (functions, classes, types) from the running example's plain values."""
    kinds = [kind for _, kind, _ in declared_names(statement)]
    return bool(kinds) and all(kind in ("function", "class", "type") for kind in kinds)
