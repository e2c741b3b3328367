"""Import-aware resolution of calls to the library's exported symbols.

Flows in: a parsed file and the library's exports. Flows out: one `Call` per resolved call site.
Members of instances (`logger.info`) need types and do not belong here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tree_sitter import Node

from qi_pipeline.extraction.exports import LibraryExports, Symbol
from qi_pipeline.extraction.syntax import (
    Module,
    ancestors,
    captures,
    position,
    string_value,
    text_of,
)

CallForm = Literal["direct", "new", "static_member", "instance_member"]


@dataclass(frozen=True)
class Call:
    """One resolved call site; `line` and `column` are 1-based and point at the callee."""

    line: int
    column: int
    symbol: str
    """Exported name; `Class.member` for a static member."""
    package: str
    form: CallForm
    byte: int
    """Offset of the callee in the file, for locating the enclosing unit."""


@dataclass(frozen=True)
class Import:
    """One local name that an import statement binds."""

    local: str
    imported: str
    """Exported name; `*` for a namespace, `default` for a default import."""
    specifier: str
    type_only: bool
    statement: Node


def read_imports(module: Module) -> list[Import]:
    """Return the names that the file's static imports bind, in order."""
    found: list[Import] = []
    for statement in module.root.named_children:
        if statement.type != "import_statement":
            continue
        specifier = string_value(statement.child_by_field_name("source"))
        clause = next((c for c in statement.named_children if c.type == "import_clause"), None)
        if specifier is None or clause is None:
            continue
        type_only = any(child.type == "type" for child in statement.children)
        for local, imported, is_type in _clause_names(clause):
            found.append(Import(local, imported, specifier, type_only or is_type, statement))
    return found


def _clause_names(clause: Node) -> Iterable[tuple[str, str, bool]]:
    for part in clause.named_children:
        if part.type == "identifier":
            yield text_of(part), "default", False
        elif part.type == "namespace_import":
            yield text_of(part.named_children[0]), "*", False
        elif part.type == "named_imports":
            for item in part.named_children:
                name = item.child_by_field_name("name")
                if name is None:
                    continue
                alias = item.child_by_field_name("alias") or name
                is_type = any(child.type == "type" for child in item.children)
                yield text_of(alias), text_of(name), is_type


@dataclass(frozen=True)
class Bindings:
    """What the local names of one file mean."""

    symbols: Mapping[str, Symbol]
    namespaces: Mapping[str, Mapping[str, Symbol]]

    @property
    def names(self) -> frozenset[str]:
        """Every local name that leads to the library."""
        return frozenset(self.symbols) | frozenset(self.namespaces)


def bind_names(module: Module, path: str, library: LibraryExports) -> Bindings:
    """Return the library symbols that the file's imports, and its own declarations, name."""
    symbols: dict[str, Symbol] = {}
    namespaces: dict[str, Mapping[str, Symbol]] = {}
    for name, declaration in library.declared_in(path).items():
        own = library.symbol_of(declaration)
        if own is not None:
            symbols[name] = own
    for item in read_imports(module):
        if item.type_only:
            continue
        exported = library.exports_of_specifier(item.specifier, path)
        if item.imported == "*":
            if exported:
                namespaces[item.local] = exported
        elif item.imported in exported:
            symbols[item.local] = exported[item.imported]
    return Bindings(symbols, namespaces)


_CALLEES = """
(call_expression function: (identifier) @direct)
(call_expression function: (member_expression object: (identifier)) @member)
(new_expression constructor: (identifier) @new)
(new_expression constructor: (member_expression object: (identifier)) @new_member)
"""


def resolve_calls(module: Module, bindings: Bindings) -> list[Call]:
    """Return the file's calls to library symbols, in source order; shadowed names do not count."""
    if not bindings.names:
        return []
    shadows = _shadowing_scopes(module, bindings.names)
    calls: list[Call] = []
    for capture, nodes in captures(_CALLEES, module.root).items():
        for callee in nodes:
            base = callee if callee.type == "identifier" else callee.child_by_field_name("object")
            if base is None or text_of(base) not in bindings.names:
                continue
            if any(start <= base.start_byte < end for start, end in shadows.get(text_of(base), ())):
                continue
            target = _target(capture, callee, text_of(base), bindings)
            if target is not None:
                symbol, name, form = target
                line, column = position(module, callee)
                calls.append(Call(line, column, name, symbol.package, form, callee.start_byte))
    return sorted(calls, key=lambda call: call.byte)


def _target(
    capture: str, callee: Node, base: str, bindings: Bindings
) -> tuple[Symbol, str, CallForm] | None:
    form: CallForm = "new" if capture.startswith("new") else "direct"
    if callee.type == "identifier":
        symbol = bindings.symbols.get(base)
        return (symbol, symbol.name, form) if symbol else None
    property_node = callee.child_by_field_name("property")
    member = text_of(property_node) if property_node is not None else ""
    if base in bindings.namespaces:
        symbol = bindings.namespaces[base].get(member)
        return (symbol, symbol.name, form) if symbol else None
    symbol = bindings.symbols[base]
    if form == "new" or symbol.declaration.kind != "class":
        return None
    return symbol, f"{symbol.name}.{member}", "static_member"


_DECLARED = """
(required_parameter pattern: (_) @parameter)
(optional_parameter pattern: (_) @parameter)
(arrow_function parameter: (identifier) @parameter)
(catch_clause parameter: (_) @caught)
(variable_declarator name: (_) @variable)
(for_in_statement left: (_) @loop)
(function_declaration name: (identifier) @named)
(class_declaration name: (type_identifier) @named)
(function_expression name: (identifier) @own)
"""
_FUNCTIONS = frozenset(
    {
        "function_declaration",
        "function_expression",
        "arrow_function",
        "method_definition",
        "generator_function",
        "generator_function_declaration",
        "function_signature",
        "function_type",
        "constructor_type",
        "method_signature",
        "abstract_method_signature",
        "call_signature",
        "construct_signature",
    }
)
_BLOCKS = frozenset(
    {
        "statement_block",
        "for_statement",
        "for_in_statement",
        "switch_body",
        "class_static_block",
    }
)


def _shadowing_scopes(module: Module, names: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
    """Return, per name, the byte ranges inside which an inner declaration hides the import."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for capture, nodes in captures(_DECLARED, module.root).items():
        for pattern in nodes:
            for name in _bound_identifiers(pattern):
                if text_of(name) not in names:
                    continue
                scope = _scope_of(capture, pattern)
                if scope is not None:
                    ranges.setdefault(text_of(name), []).append((scope.start_byte, scope.end_byte))
    return ranges


def _bound_identifiers(pattern: Node) -> list[Node]:
    """Return the identifiers a binding pattern declares (default values do not declare)."""
    if pattern.type in ("identifier", "type_identifier", "shorthand_property_identifier_pattern"):
        return [pattern]
    if pattern.type in ("assignment_pattern", "object_assignment_pattern"):
        left = pattern.child_by_field_name("left")
        return _bound_identifiers(left) if left is not None else []
    if pattern.type == "pair_pattern":
        value = pattern.child_by_field_name("value")
        return _bound_identifiers(value) if value is not None else []
    if pattern.type in ("object_pattern", "array_pattern", "rest_pattern"):
        return [found for child in pattern.named_children for found in _bound_identifiers(child)]
    return []


def _scope_of(capture: str, pattern: Node) -> Node | None:
    """Return the node inside which the declared name is visible; None for the whole file."""
    if capture in ("parameter", "own"):
        wanted = _FUNCTIONS
    elif capture == "caught":
        return pattern.parent
    elif capture == "variable" and _is_var(pattern):
        wanted = _FUNCTIONS
    else:
        wanted = _BLOCKS
    inner = (
        ancestors(pattern.parent) if capture == "named" and pattern.parent else ancestors(pattern)
    )
    return next((node for node in inner if node.type in wanted), None)


def _is_var(name: Node) -> bool:
    declarator = name.parent
    statement = declarator.parent if declarator is not None else None
    return statement is not None and statement.type == "variable_declaration"
