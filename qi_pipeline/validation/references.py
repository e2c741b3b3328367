"""Which names of a module mean exports of the library.

Flows in: a parsed module and the compiler's answers. Flows out: `package:name` for an expression.
The syntax finds where to ask; whether a name means the import is the compiler's answer, so
shadowing, aliases, namespaces and re-exports come out right. Rules belong to `rules`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Node

from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.syntax import (
    ParsedModule,
    callee_of,
    span_of,
    string_value,
    unwrapped,
)

_CALLS = ("call_expression", "new_expression")
_ACCESSES = ("member_expression", "subscript_expression")


@dataclass(frozen=True)
class LibraryFacts:
    """What the compiler says of the library itself."""

    exports: Mapping[str, frozenset[str]]
    """Package name to the names it exports, in the profile's order."""
    export_handles: Mapping[str, str]
    """Declaration handle of an export to `package:name`."""
    declared_handles: Mapping[str, str]
    """Handle of the declaration that an export stands for in the end to `package:name`."""
    result_members: frozenset[str]
    """Declaration handles of the members of the Result types."""


@dataclass(frozen=True)
class Binding:
    """One name that an import statement brings in from the library."""

    local: str
    offset: int
    """UTF-16 offset of the local name."""
    specifier: str
    imported: str | None
    """Exported name, or None for a namespace."""


@dataclass(frozen=True)
class Access:
    """`object.name` or `object["name"]`."""

    node: Node
    target: Node
    name: str
    offset: int
    """UTF-16 offset at which the compiler is asked for the member."""


@dataclass(frozen=True)
class Call:
    """A call or `new`, with what it calls."""

    node: Node
    symbol: str | None
    """The library export, as `package:name`."""
    member: Access | None
    """The called member, if a member is called."""

    @property
    def name(self) -> str:
        """The called export's name; empty when it is none of the library's."""
        return "" if self.symbol is None else self.symbol.rpartition(":")[2]


def accesses_of(module: ParsedModule) -> Iterator[Access]:
    """Yield the member accesses of `module` whose member's name is written out."""
    for node in module.of_type(*_ACCESSES):
        access = _access_of(module, node)
        if access is not None:
            yield access


def _access_of(module: ParsedModule, node: Node) -> Access | None:
    """Return the member access that `node` is, if the member's name is written out."""
    target = node.child_by_field_name("object")
    if target is None:
        return None
    if node.type == "member_expression":
        member = node.child_by_field_name("property")
        if member is None:
            return None
        return Access(node, target, module.text_of(member), span_of(member)[0])
    index = node.child_by_field_name("index")
    name = None if index is None else string_value(module, index)
    if index is None or name is None:
        return None
    return Access(node, target, name, span_of(unwrapped(index))[0] + 1)


def _called_member(module: ParsedModule, call: Node) -> Access | None:
    callee = callee_of(call)
    is_access = callee is not None and callee.type in _ACCESSES
    return _access_of(module, callee) if callee is not None and is_access else None


def import_bindings(module: ParsedModule, profile: Profile) -> tuple[Binding, ...]:
    """Return the names that `module` imports from the library, in source order."""
    return tuple(
        binding
        for node in module.tree.root_node.named_children
        if node.type == "import_statement"
        for binding in _bindings_of(module, node, profile)
    )


def _bindings_of(module: ParsedModule, statement: Node, profile: Profile) -> Iterator[Binding]:
    source = statement.child_by_field_name("source")
    specifier = None if source is None else string_value(module, source)
    if specifier is None or not _is_library(specifier, profile):
        return
    clause = next((c for c in statement.named_children if c.type == "import_clause"), None)
    for part in clause.named_children if clause is not None else []:
        if part.type == "namespace_import":
            name = part.named_children[0]
            yield Binding(module.text_of(name), span_of(name)[0], specifier, None)
        elif part.type == "named_imports":
            for item in part.named_children:
                exported = item.child_by_field_name("name")
                if exported is not None:
                    local = item.child_by_field_name("alias") or exported
                    imported = module.text_of(exported)
                    yield Binding(module.text_of(local), span_of(local)[0], specifier, imported)


def _is_library(specifier: str, profile: Profile) -> bool:
    return (
        profile.package_of_specifier(specifier) is not None
        or specifier in profile.umbrella.specifiers
    )


def reference_offsets(module: ParsedModule, bindings: Iterable[Binding]) -> Iterator[int]:
    """Yield the offsets whose symbols `References` needs."""
    local_names = set()
    for binding in bindings:
        local_names.add(binding.local)
        yield binding.offset
    for node in module.of_type("identifier"):
        if module.text_of(node) in local_names:
            yield span_of(node)[0]
    for node in module.of_type(*_CALLS):
        member = _called_member(module, node)
        if member is not None:
            yield member.offset
    for access in accesses_of(module):
        # A namespace's member: `base.ConfigBuilder.fromObject`.
        if module.text_of(access.target) in local_names:
            yield access.offset


@dataclass(frozen=True)
class References:
    """Resolves expressions of one module to the library's exports."""

    module: ParsedModule
    bindings: tuple[Binding, ...]
    symbols: Mapping[int, frozenset[str]]
    """UTF-16 offset to the declaration handles of the symbol there (empty: no symbol)."""
    library: LibraryFacts
    profile: Profile

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Every call and `new` of the module."""
        return tuple(
            Call(node, self._symbol_of(callee_of(node)), _called_member(self.module, node))
            for node in self.module.of_type(*_CALLS)
        )

    def used_symbols(self) -> tuple[str, ...]:
        """Return the exports that the module calls, constructs or accesses statically, sorted."""
        found = {call.symbol for call in self.calls}
        for access in accesses_of(self.module):
            found.add(self._symbol_of(access.target))
        return tuple(sorted(symbol for symbol in found if symbol is not None))

    def _symbol_of(self, expression: Node | None) -> str | None:
        """Return `package:name` if `expression` names an export of the library."""
        if expression is None:
            return None
        expression = unwrapped(expression)
        if expression.type == "identifier":
            handles, names = self.symbols.get(span_of(expression)[0], ()), self._imported
        elif expression.type in _ACCESSES:
            access = _access_of(self.module, expression)
            handles = () if access is None else self.symbols.get(access.offset, ())
            names = self.library.export_handles
        else:
            return None
        return next((names[handle] for handle in sorted(handles) if handle in names), None)

    @cached_property
    def _imported(self) -> Mapping[str, str]:
        """Declaration handle of an import to `package:name`."""
        imported = {}
        for binding in self.bindings:
            symbol = self._exported(binding)
            if symbol is not None:
                for handle in self.symbols.get(binding.offset, ()):
                    imported[handle] = symbol
        return imported

    def _exported(self, binding: Binding) -> str | None:
        package = self.profile.package_of_specifier(binding.specifier)
        for name, exports in self.library.exports.items():
            if (package is None or package.name == name) and binding.imported in exports:
                return f"{name}:{binding.imported}"
        return None
