"""Import-aware resolution of calls to the library's exported symbols.

Flows in: a parsed file and the library's exports. Flows out: one `Call` per resolved call site.
Members of instances (`logger.info`) need types and do not belong here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tree_sitter import Node

from qi_pipeline.extraction.exports import LibraryExports, Symbol, read_imports
from qi_pipeline.extraction.scopes import Scopes
from qi_pipeline.extraction.syntax import Module, captures, position, text_of

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


# The grammar reads `await f<T>(x)` as a call of `await f`.
_CALLEES = """
(call_expression function: (identifier) @direct)
(call_expression function: (member_expression object: (identifier)) @member)
(new_expression constructor: (identifier) @new)
(new_expression constructor: (member_expression object: (identifier)) @new_member)
(call_expression function: (await_expression (identifier) @direct) type_arguments: (_))
(call_expression
  function: (await_expression (member_expression object: (identifier)) @member)
  type_arguments: (_))
"""


def resolve_calls(module: Module, bindings: Bindings) -> list[Call]:
    """Return the file's calls to library symbols, in source order; shadowed names do not count."""
    if not bindings.names:
        return []
    scopes = Scopes(module.root, bindings.names)
    calls: list[Call] = []
    for capture, nodes in captures(_CALLEES, module.root).items():
        for callee in nodes:
            base = callee if callee.type == "identifier" else callee.child_by_field_name("object")
            if base is None or text_of(base) not in bindings.names or scopes.hides(base):
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
