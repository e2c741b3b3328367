"""Which names of a module mean exports of the library.

Flows in: a parsed module and the compiler's answers. Flows out: `package:name` for an expression.
The syntax finds where to ask; whether a name means the import is the compiler's answer, so
shadowing, aliases, namespaces and re-exports come out right. Rules belong to `rules`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tree_sitter import Node

from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.syntax import (
    ACCESSES,
    Access,
    ParsedModule,
    arguments_of,
    around,
    callee_of,
    function_around,
    named_functions,
    span_of,
    string_value,
    unwrapped,
)

_CALLS = ("call_expression", "new_expression")


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
    error_members: frozenset[str]
    """Declaration handles of the members of the library's error types."""

    @cached_property
    def names(self) -> frozenset[str]:
        """Every exported name of every package."""
        return frozenset(name for names in self.exports.values() for name in names)


@dataclass(frozen=True)
class Binding:
    """One name that an import statement brings in from the library or from a file."""

    local: str
    offset: int
    """UTF-16 offset of the local name."""
    specifier: str
    imported: str | None
    """Exported name, or None for a namespace."""

    @property
    def is_relative(self) -> bool:
        """It names a file beside the module, which may be one of the library's own."""
        return self.specifier.startswith(".")


_MERE_MENTIONS = frozenset(
    {
        *("import_specifier", "namespace_import", "export_specifier"),
        *("type_query", "expression_statement", "unary_expression"),
    }
)
"""Parents of a name that is only named: imported, exported, `typeof name`, `name;`, `void name`."""


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


def _called_member(module: ParsedModule, call: Node) -> Access | None:
    callee = callee_of(call)
    return None if callee is None else module.access_at.get(callee.id)


def import_bindings(module: ParsedModule, profile: Profile) -> tuple[Binding, ...]:
    """Return the names that `module` imports from the library or by path, in source order."""
    return tuple(
        binding
        for node in module.tree.root_node.named_children
        if node.type == "import_statement"
        for binding in _bindings_of(module, node)
        if binding.is_relative or _is_library(binding.specifier, profile)
    )


def _bindings_of(module: ParsedModule, statement: Node) -> Iterator[Binding]:
    source = statement.child_by_field_name("source")
    specifier = None if source is None else string_value(module, source)
    if specifier is None:
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


def reference_offsets(
    module: ParsedModule, bindings: Iterable[Binding], library: LibraryFacts
) -> Iterator[int]:
    """Yield the offsets whose symbols `References` needs."""
    watched = set(library.names)
    for binding in bindings:
        watched.add(binding.local)
        yield binding.offset
    for name, value in _constants(module):
        yield span_of(name)[0]
        base = value.child_by_field_name("object") or value
        if module.text_of(base) in watched:
            watched.add(module.text_of(name))
    for node in module.of_type("identifier", "shorthand_property_identifier"):
        if module.text_of(node) in watched:
            yield span_of(node)[0]
    for access in module.accesses:
        yield access.offset
    yield from _held_objects(module)
    if module.of_type("throw_statement"):
        yield from _mentioned_functions(module)


def _held_objects(module: ParsedModule) -> Iterator[int]:
    """Yield where a variable is made an object, and where one may be passed to a call."""
    for name, _ in _object_constants(module):
        yield span_of(name)[0]
    for call in module.of_type("call_expression"):
        for argument in arguments_of(call)[:1]:
            if unwrapped(argument).type == "identifier":
                yield span_of(unwrapped(argument))[0]


def _mentioned_functions(module: ParsedModule) -> Iterator[int]:
    """Yield where functions are declared and wherever one may be mentioned by its name."""
    names: set[str] = set()
    for _, name in named_functions(module):
        names.add(module.text_of(name))
        yield span_of(name)[0]
    for node in module.of_type("identifier"):
        if module.text_of(node) in names:
            yield span_of(node)[0]


def _constants(module: ParsedModule) -> Iterator[tuple[Node, Node]]:
    """Yield the name and the value of each name that stands for something named elsewhere."""
    assigned = {
        module.text_of(unwrapped(left))
        for node in module.of_type("assignment_expression")
        for left in [node.child_by_field_name("left")]
        if left is not None
    }
    for name, value in _initialised(module):
        target = unwrapped(value)
        if target.type == "identifier" or target.type in ACCESSES:
            if module.text_of(name) not in assigned:
                yield name, target
        elif target.type == "object":
            for pair in target.named_children:
                key = pair.child_by_field_name("key")
                member = pair.child_by_field_name("value")
                if pair.type == "pair" and key is not None and member is not None:
                    member = unwrapped(member)
                    if key.type == "property_identifier" and member.type == "identifier":
                        yield key, member


def _initialised(module: ParsedModule) -> Iterator[tuple[Node, Node]]:
    """Yield the name and the first value of each variable and each parameter with a default."""
    for node in module.of_type("variable_declarator"):
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is not None and value is not None and name.type == "identifier":
            yield name, value
    for node in module.of_type("required_parameter"):
        name, value = node.child_by_field_name("pattern"), node.child_by_field_name("value")
        if name is not None and value is not None and name.type == "identifier":
            yield name, value


def _object_constants(module: ParsedModule) -> Iterator[tuple[Node, Node]]:
    """Yield the name and the object literal of each variable that is one."""
    for name, value in _initialised(module):
        if unwrapped(value).type == "object":
            yield name, unwrapped(value)


@dataclass(frozen=True)
class References:
    """Resolves expressions of one module to the library's exports."""

    module: ParsedModule
    bindings: tuple[Binding, ...]
    symbols: Mapping[int, frozenset[str]]
    """UTF-16 offset to the declaration handles of the symbol there (empty: no symbol)."""
    library: LibraryFacts
    profile: Profile
    meanings: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Offset of a name imported by path to the handles of what it stands for in the end."""

    @cached_property
    def call_of_node(self) -> Mapping[int, Call]:
        """Node id to the call that the node is."""
        return {call.node.id: call for call in self.calls}

    @cached_property
    def _object_of(self) -> Mapping[str, Node]:
        """Declaration handle of a variable to the object literal that it is made of."""
        return {
            handle: literal
            for name, literal in _object_constants(self.module)
            for handle in self.symbols.get(span_of(name)[0], ())
        }

    def object_behind(self, expression: Node) -> Node | None:
        """Return the object literal that a variable is made of."""
        handles = self._handles_of(unwrapped(expression))
        return next((self._object_of[one] for one in handles if one in self._object_of), None)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Every call and `new` of the module."""
        return tuple(
            Call(node, self._symbol_of(callee_of(node)), _called_member(self.module, node))
            for node in self.module.of_type(*_CALLS)
        )

    def used_symbols(self) -> tuple[str, ...]:
        """Return the exports that the module calls, accesses statically or passes on, sorted."""
        found = {call.symbol for call in self.calls}
        for access in self.module.accesses:
            found |= {self._symbol_of(access.target), self._symbol_of(access.node)}
        for node in self.module.of_type("identifier", "shorthand_property_identifier"):
            if node.parent is not None and node.parent.type not in _MERE_MENTIONS:
                found.add(self._symbol_of(node))
        found.update(symbol for _, symbol in self._shorthands())
        return tuple(sorted(symbol for symbol in found if symbol is not None))

    def _symbol_of(self, expression: Node | None) -> str | None:
        """Return `package:name` if `expression` names an export of the library."""
        found = None if expression is None else self._declared_by_library(unwrapped(expression))
        if found is not None or expression is None:
            return found
        return _first_named(self._handles_of(unwrapped(expression)), self._constant_symbols)

    def _declared_by_library(self, expression: Node) -> str | None:
        handles = self._handles_of(expression)
        if expression.type == "identifier":
            found = _first_named(handles, self._imported)
        else:
            found = _first_named(handles, self.library.export_handles)
        return found or _first_named(handles, self.library.declared_handles)

    def _handles_of(self, expression: Node) -> frozenset[str]:
        """Return the declaration handles of what a name or a member access names."""
        if expression.type == "identifier":
            return self.symbols.get(span_of(expression)[0], frozenset())
        access = self.module.access_at.get(expression.id)
        return frozenset() if access is None else self.symbols.get(access.offset, frozenset())

    @cached_property
    def _constant_symbols(self) -> Mapping[str, str]:
        """Declaration handle of a constant that stands for an export to `package:name`."""
        constants: dict[str, str] = dict(self._shorthands())
        for name, value in _constants(self.module):
            symbol = self._declared_by_library(value)
            symbol = symbol or _first_named(self._handles_of(value), constants)
            if symbol is not None:
                for handle in self.symbols.get(span_of(name)[0], ()):
                    constants[handle] = symbol
        return constants

    def _shorthands(self) -> Iterator[tuple[str, str]]:
        """Yield the handle of each `{ name }` that means the import of that name, with its export.

        The compiler says what the member is, not what it is made of.
        """
        for binding in self.bindings:
            places = self.module.shorthands.get(binding.local, ())
            symbol = self._exported(binding) if places else None
            if symbol is None:
                continue
            shadowing = self._functions_that_shadow(binding)
            for node in places:
                if shadowing.isdisjoint(one.id for one in around(node)):
                    for handle in self.symbols.get(span_of(node)[0], ()):
                        yield handle, symbol

    def _functions_that_shadow(self, binding: Binding) -> set[int]:
        """Return the node ids of the functions in which an import's name means something else."""
        meant = self.symbols.get(binding.offset, frozenset())
        return {
            function.id
            for node in self.module.of_type("identifier")
            if self.module.text_of(node) == binding.local
            and self.symbols.get(span_of(node)[0], frozenset()) != meant
            for function in [function_around(node)]
            if function is not None
        }

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
        if binding.is_relative:
            handles = self.meanings.get(binding.offset, frozenset())
            return _first_named(handles, self.library.declared_handles)
        package = self.profile.package_of_specifier(binding.specifier)
        for name, exports in self.library.exports.items():
            if (package is None or package.name == name) and binding.imported in exports:
                return f"{name}:{binding.imported}"
        return None


def _first_named(handles: Iterable[str], names: Mapping[str, str]) -> str | None:
    return next((names[handle] for handle in sorted(handles) if handle in names), None)
