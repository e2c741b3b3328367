"""Make units complete modules: the imports, types and helpers they need, then their code, exported.

Flows in: a unit and the parsed snapshot. Flows out: module text. Relative imports are followed
inside the snapshot; what the library exports is imported from its package, never inlined.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tree_sitter import Node

from qi_pipeline.extraction.calls import Import, read_imports
from qi_pipeline.extraction.exports import LibraryExports, Symbol, declared_names
from qi_pipeline.extraction.syntax import Module, captures, text_of
from qi_pipeline.extraction.units import Unit, called_name, group_body

_REFERENCES = """
(identifier) @name
(type_identifier) @name
(shorthand_property_identifier) @name
"""


@dataclass
class _Draft:
    """The module being put together."""

    imports: dict[str, dict[str, tuple[str, bool]]] = field(default_factory=dict)
    """Specifier to local name to (imported name, type only)."""
    bare: list[str] = field(default_factory=list)
    helpers: dict[tuple[str, int], str] = field(default_factory=dict)
    """(file, start byte) of a statement to its text."""
    files: list[str] = field(default_factory=list)
    """Files in the order they were reached."""

    def add_import(self, specifier: str, local: str, imported: str, *, type_only: bool) -> None:
        self.imports.setdefault(specifier, {})[local] = (imported, type_only)


class ModuleAssembler:
    """Builds complete modules from the units of one snapshot."""

    def __init__(self, library: LibraryExports) -> None:
        """Use the parsed files and exports of `library`."""
        self._library = library
        self._imports: dict[str, dict[str, Import]] = {}
        self._statements: dict[str, dict[str, Node]] = {}

    def assemble(self, unit: Unit) -> str:
        """Return the unit as a complete module."""
        draft = _Draft()
        if unit.kind == "test":
            code, nodes = _test_with_setup(unit)
        else:
            code, nodes = _exported(unit.statement), [unit.statement]
        own = frozenset(name for name, _, _ in declared_names(unit.statement))
        self._collect(unit.file, nodes, own, draft)
        return _render(draft, code)

    def _collect(
        self, file: str, nodes: Iterable[Node], own: frozenset[str], draft: _Draft
    ) -> None:
        """Add to `draft` all that `nodes` of `file` refer to, helpers of helpers included."""
        if file not in draft.files:
            draft.files.append(file)
        imports, statements = self._names_of(file)
        for name in sorted({text for node in nodes for text in _referenced(node)} - own):
            if name in statements:
                self._add_declared(file, name, own, draft)
            elif name in imports:
                self._add_imported(file, imports[name], own, draft)

    def _names_of(self, file: str) -> tuple[dict[str, Import], dict[str, Node]]:
        if file not in self._imports:
            module = self._library.modules[file]
            self._imports[file] = {item.local: item for item in read_imports(module)}
            self._statements[file] = {
                name: statement
                for statement in module.root.named_children
                for name, _, _ in declared_names(statement)
            }
        return self._imports[file], self._statements[file]

    def _add_declared(self, file: str, name: str, own: frozenset[str], draft: _Draft) -> None:
        declaration = self._library.declared_in(file).get(name)
        symbol = self._library.symbol_of(declaration) if declaration is not None else None
        if symbol is not None:
            _import_symbol(draft, symbol, name)
            return
        statement = self._names_of(file)[1][name]
        key = (file, statement.start_byte)
        if key in draft.helpers:
            return
        draft.helpers[key] = _without_export(statement)
        self._collect(file, [statement], own, draft)

    def _add_imported(self, file: str, item: Import, own: frozenset[str], draft: _Draft) -> None:
        symbol = self._library.exports_of_specifier(item.specifier, file).get(item.imported)
        if symbol is not None:
            _import_symbol(draft, symbol, item.local, type_only=item.type_only)
            return
        target = self._library.declaration_of(item.specifier, file, item.imported)
        if target is not None and target.name == item.local:
            self._add_declared(target.file, target.name, own, draft)
        else:
            draft.add_import(item.specifier, item.local, item.imported, type_only=item.type_only)


def _import_symbol(draft: _Draft, symbol: Symbol, local: str, *, type_only: bool = False) -> None:
    draft.add_import(
        symbol.package,
        local,
        symbol.name,
        type_only=type_only or symbol.declaration.kind == "type",
    )


def _referenced(node: Node) -> set[str]:
    return {text_of(name) for name in captures(_REFERENCES, node).get("name", [])}


def _documented(statement: Node) -> str:
    """Return the statement's text with its doc comment."""
    previous = statement.prev_named_sibling
    text = text_of(statement)
    if previous is not None and previous.type == "comment" and text_of(previous).startswith("/**"):
        return f"{text_of(previous)}\n{text}"
    return text


def _exported(statement: Node) -> str:
    text = _documented(statement)
    if statement.type == "export_statement":
        return text
    start = len(text) - len(text_of(statement))
    return f"{text[:start]}export {text[start:]}"


def _without_export(statement: Node) -> str:
    if statement.type != "export_statement":
        return text_of(statement)
    inner = statement.child_by_field_name("declaration")
    return text_of(inner) if inner is not None else text_of(statement)


def _test_with_setup(unit: Unit) -> tuple[str, list[Node]]:
    """Return a test inside its describe blocks, their setup kept and sibling tests left out."""
    chain = [unit.statement]
    node = unit.statement.parent
    while node is not None:
        if node.type == "expression_statement":
            chain.append(node)
        node = node.parent
    code = text_of(unit.statement)
    nodes = [unit.statement]
    for group in chain[1:]:
        body = group_body(group)
        if body is None:
            continue
        setup = [
            child
            for child in body.named_children
            if called_name(child) not in ("it", "test", "describe", "suite")
            and child.type != "comment"
        ]
        nodes.extend(setup)
        head = group.text[: body.start_byte - group.start_byte].decode() if group.text else ""
        inner = "\n".join([*(text_of(child) for child in setup), code])
        code = f"{head}{{\n{inner}\n}});"
    # The names that the frame itself uses (describe, it, expect) come from the first call's name.
    frame = [c for group in chain for c in group.named_children[:1]]
    return code, [*nodes, *[n for f in frame if (n := f.child_by_field_name("function"))]]


def _render(draft: _Draft, code: str) -> str:
    order = {file: rank for rank, file in enumerate(reversed(draft.files))}
    helpers = [
        text
        for (file, start), text in sorted(
            draft.helpers.items(), key=lambda item: (order[item[0][0]], item[0][1])
        )
    ]
    return "\n\n".join([*_import_lines(draft.imports), *helpers, code]).strip() + "\n"


def _import_lines(imports: dict[str, dict[str, tuple[str, bool]]]) -> list[str]:
    lines: list[str] = []
    for specifier in sorted(imports, key=lambda s: (not s.startswith("@"), s)):
        names = imports[specifier]
        named: list[str] = []
        for local, (imported, type_only) in sorted(names.items()):
            if imported == "*":
                prefix = "import type" if type_only else "import"
                lines.append(f'{prefix} * as {local} from "{specifier}";')
            elif imported == "default":
                prefix = "import type" if type_only else "import"
                lines.append(f'{prefix} {local} from "{specifier}";')
            else:
                alias = f"{imported} as {local}" if imported != local else local
                named.append(f"type {alias}" if type_only else alias)
        if named:
            lines.append(_named_import(named, specifier))
    return ["\n".join(lines)] if lines else []


_LINE_WIDTH = 100


def _named_import(named: list[str], specifier: str) -> str:
    if all(name.startswith("type ") for name in named):
        names = ", ".join(name.removeprefix("type ") for name in named)
        line = f'import type {{ {names} }} from "{specifier}";'
    else:
        line = f'import {{ {", ".join(named)} }} from "{specifier}";'
    if len(line) <= _LINE_WIDTH:
        return line
    head, _, rest = line.partition("{ ")
    names, _, tail = rest.rpartition(" }")
    wrapped = names.replace(", ", ",\n  ")
    return f"{head}{{\n  {wrapped},\n}}{tail}"


def complete_block(module: Module, library: LibraryExports) -> str:
    """Return a document's code block as a module.

    A block without any import gets imports for the library names it uses and does not declare; a
    block that exports nothing exports its top-level declarations.
    """
    statements = module.root.named_children
    text = module.text.strip("\n")
    if not any(s.type == "export_statement" for s in statements):
        text = _with_exports(module)
    if any(s.type == "import_statement" for s in statements):
        return text.rstrip() + "\n"
    declared = {name for s in statements for name, _, _ in declared_names(s)}
    known = library.names_anywhere()
    used = sorted(name for name in _referenced(module.root) & known.keys() if name not in declared)
    draft = _Draft()
    for name in used:
        _import_symbol(draft, known[name], name)
    return _render(draft, text)


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


def _with_exports(module: Module) -> str:
    source = module.source
    for statement in reversed(module.root.named_children):
        if statement.type in _EXPORTABLE and _is_definition(statement):
            source = source[: statement.start_byte] + b"export " + source[statement.start_byte :]
    return source.decode().strip("\n")


def _is_definition(statement: Node) -> bool:
    """Tell definitions (functions, classes, types) from the running example's plain values."""
    kinds = [kind for _, kind, _ in declared_names(statement)]
    return bool(kinds) and all(kind in ("function", "class", "type") for kind in kinds)
