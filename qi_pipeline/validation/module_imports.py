"""The import statements of a module that is being repaired or completed.

Flows in: a parsed module and the library's names. Flows out: the module's text with some names
imported, dropped, or imported as types, every other statement as it was. Which of that is wanted is
decided in `repair`, and for a model's answers in `evaluation`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qi_pipeline.extraction.exports import declared_names, read_imports
from qi_pipeline.extraction.scopes import Scopes
from qi_pipeline.extraction.syntax import Module, parse_module, text_of, walk
from qi_pipeline.validation.names import LibraryNames


@dataclass
class ImportItem:
    """One name of an import statement that is to be written."""

    local: str
    imported: str
    type_only: bool


class ModuleImports:
    """The import statements of a module, of which some change."""

    def __init__(self, module: Module, names: LibraryNames) -> None:
        """Read the statements of `module`; `names` tells which packages are one."""
        self._module = module
        self._names = names
        self._statements: dict[int, tuple[str, list[ImportItem]]] = {}
        self._changed: set[int] = set()
        self._added: dict[str, list[ImportItem]] = {}
        self._types = _names_of_types_only(module)
        for item in read_imports(module):
            key = item.statement.start_byte
            _, items = self._statements.setdefault(key, (item.specifier, []))
            items.append(ImportItem(item.local, item.imported, item.type_only))

    def locals(self) -> frozenset[str]:
        """Return every name that is imported."""
        return frozenset(item.local for _, items in self._all() for item in items)

    def _all(self) -> Iterator[tuple[str, list[ImportItem]]]:
        yield from self._statements.values()
        yield from self._added.items()

    def of(self, specifier: str) -> list[ImportItem]:
        """Return what is imported from `specifier`."""
        return [item for found, items in self._all() if found == specifier for item in items]

    def at(self, byte: int) -> ImportItem | None:
        """Return the import whose specifier holds the byte, which is to change."""
        for statement in self._module.root.named_children:
            if statement.start_byte <= byte < statement.end_byte:
                leaf = statement.descendant_for_byte_range(byte, byte)
                while leaf is not None and leaf.type != "import_specifier":
                    leaf = leaf.parent
                if leaf is None:
                    return None
                name = leaf.child_by_field_name("alias") or leaf.child_by_field_name("name")
                _, items = self._statements.get(statement.start_byte, ("", []))
                for item in items:
                    if name is not None and item.local == text_of(name):
                        self._changed.add(statement.start_byte)
                        return item
        return None

    def flavour_types(self) -> list[str]:
        """Import as types what is used as nothing else; return the names of what changed."""
        changed = []
        for key, (_, items) in self._statements.items():
            for item in items:
                if item.local in self._types and not item.type_only and item.imported != "*":
                    item.type_only = True
                    self._changed.add(key)
                    changed.append(item.local)
        return changed

    def named(self, local: str) -> ImportItem | None:
        """Return the import of a local name, which is to change."""
        for key, (_, items) in self._statements.items():
            for item in items:
                if item.local == local:
                    self._changed.add(key)
                    return item
        return None

    def add(self, specifier: str, new: ImportItem) -> None:
        """Import `new` beside what comes from the same package, or in a statement of its own."""
        if new.local in self.locals():
            return
        # A class, too, is imported as a type where nothing but its type is wanted.
        new = replace(new, type_only=new.type_only or new.local in self._types)
        for key, (found, items) in self._statements.items():
            same = self._names.is_same_package(found, specifier)
            if same and items and all(item.imported != "*" for item in items):
                items.append(new)
                self._changed.add(key)
                return
        self._added.setdefault(specifier, []).append(new)

    def take(self, specifier: str, imported: str) -> None:
        """Remove what is imported under a name from `specifier`."""
        for key, (found, items) in self._statements.items():
            if found == specifier and any(item.imported == imported for item in items):
                self._changed.add(key)
                items[:] = [item for item in items if item.imported != imported]

    def rendered(self) -> str:
        """Return the module's text."""
        source = self._module.source
        statements = [s for s in self._module.root.named_children if s.type == "import_statement"]
        edits = [
            (s.start_byte, s.end_byte, _statement(*self._statements[s.start_byte], text_of(s)))
            for s in statements
            if s.start_byte in self._changed
        ]
        style = text_of(statements[-1]) if statements else '"";'
        new = "".join(
            f"\n{_statement(specifier, items, style)}" for specifier, items in self._added.items()
        )
        if new and statements:
            edits.append((statements[-1].end_byte, statements[-1].end_byte, new))
        for start, end, text in sorted(edits, reverse=True):
            after = source[end:]
            source = source[:start] + text.encode() + (after if text else after.removeprefix(b"\n"))
        if new and not statements:
            return f"{new.lstrip()}\n\n{source.decode()}"
        return source.decode()


def _statement(specifier: str, items: Sequence[ImportItem], style: str) -> str:
    """Return an import statement in the manner of `style`; empty when nothing is imported."""
    if not items:
        return ""
    quote = "'" if "'" in style else '"'
    end = f"{quote}{specifier}{quote}{';' if style.rstrip().endswith(';') else ''}"
    all_types = all(item.type_only for item in items)
    parts = [item.local for item in items if item.imported == "default"]
    parts += [f"* as {item.local}" for item in items if item.imported == "*"]
    named = [
        ("type " if item.type_only and not all_types else "")
        + (item.local if item.local == item.imported else f"{item.imported} as {item.local}")
        for item in items
        if item.imported not in ("default", "*")
    ]
    if named:
        parts.append(f"{{ {', '.join(named)} }}")
    return f"import {'type ' if all_types else ''}{', '.join(parts)} from {end}"


def import_of(name: str, names: LibraryNames) -> tuple[str, ImportItem] | None:
    """Return the import that gives a module `name`: the library's, or the one it uses itself."""
    symbols = names.exports.get(name)
    if symbols:
        is_type = symbols[0].declaration.kind == "type"
        return names.specifier_of(symbols[0]), ImportItem(name, name, is_type)
    item = names.foreign_imports.get(name)
    if item is None:
        return None
    return item.specifier, ImportItem(name, item.imported, item.type_only)


def import_mentioned(text: str, names: LibraryNames) -> tuple[str, tuple[str, ...]]:
    """Import what a module mentions of the library and neither declares nor imports.

    Returns the text and the names whose imports were added, sorted.
    """
    module = parse_module(text)
    imports = ModuleImports(module, names)
    declared = {
        name for statement in module.root.named_children for name, _, _ in declared_names(statement)
    }
    known = names.exports.keys() | names.foreign_imports.keys()
    scopes = Scopes(module.root, known - imports.locals() - declared)
    mentioned = sorted({text_of(mention) for mention in scopes.free_mentions(module.root)})
    added = []
    for name in mentioned:
        found = import_of(name, names)
        if found is not None:
            imports.add(*found)
            added.append(name)
    return imports.rendered(), tuple(added)


def _names_of_types_only(module: Module) -> frozenset[str]:
    """Return the names that the module mentions as types and never as values."""
    mentioned: dict[str, set[str]] = {"type_identifier": set()}
    for statement in module.root.named_children:
        if statement.type != "import_statement":
            for node in walk(statement):
                if not node.child_count:
                    mentioned.setdefault(node.type, set()).add(text_of(node))
    values = mentioned.get("identifier", set()) | mentioned.get(
        "shorthand_property_identifier", set()
    )
    return frozenset(mentioned["type_identifier"] - values)
