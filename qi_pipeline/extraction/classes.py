"""Members that classes and interfaces declare.

Flows in: declarations of the snapshot. Flows out: `Member`s with the type that declares them,
inherited ones included. What an expression's type is belongs to `declared_types`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tree_sitter import Node

from qi_pipeline.extraction.exports import Declaration, LibraryExports, Symbol
from qi_pipeline.extraction.syntax import text_of

_CLASSES = frozenset({"class_declaration", "abstract_class_declaration"})
_TYPES = _CLASSES | {"interface_declaration"}
_METHODS = frozenset({"method_definition", "method_signature", "abstract_method_signature"})
_FIELDS = frozenset({"public_field_definition", "property_signature"})
# Types of fields that nothing can call.
_UNCALLABLE = frozenset({"predefined_type", "literal_type", "array_type", "tuple_type"})


@dataclass(frozen=True)
class Member:
    """One member of a class or an interface."""

    owner: Declaration
    """The type that declares it."""
    name: str
    node: Node
    is_static: bool
    is_overloaded: bool = False

    @property
    def is_method(self) -> bool:
        """Tell methods from fields and accessors."""
        return self.node.type in _METHODS and not self.is_accessor

    @property
    def is_accessor(self) -> bool:
        """Tell `get name()`."""
        return any(child.type == "get" for child in self.node.children)

    @property
    def annotation(self) -> Node | None:
        """The declared type: of a field, or what a method or accessor returns."""
        if self.is_overloaded:
            return None
        field = "return_type" if self.node.type in _METHODS else "type"
        found = self.node.child_by_field_name(field)
        return found.named_children[0] if found is not None and found.named_children else None

    @property
    def is_callable(self) -> bool:
        """Tell whether the member may be called, as far as its declaration says."""
        if self.is_method:
            return True
        annotation = self.annotation
        return annotation is None or annotation.type not in _UNCALLABLE


class ClassTable:
    """The classes and interfaces of one snapshot."""

    def __init__(self, library: LibraryExports) -> None:
        """Use the declarations of `library`."""
        self._library = library
        self._own: dict[Declaration, Mapping[tuple[str, bool], Member]] = {}
        self._called: frozenset[str] | None = None

    def is_class(self, declaration: Declaration) -> bool:
        """Tell classes and interfaces from other declarations."""
        return any(node.type in _TYPES for node in self._library.nodes_of(declaration))

    def own(self, declaration: Declaration) -> Mapping[tuple[str, bool], Member]:
        """Return (name, is static) to the member that the type itself declares."""
        if declaration not in self._own:
            own: dict[tuple[str, bool], Member] = {}
            for node in self._library.nodes_of(declaration):
                for member in _members(node, declaration) if node.type in _TYPES else ():
                    key = member.name, member.is_static
                    again = key in own and member.is_method
                    own[key] = replace(member, is_overloaded=again)
            self._own[declaration] = own
        return self._own[declaration]

    def parents(self, declaration: Declaration) -> Iterator[Node]:
        """Yield the types that the type inherits members from, as they are written."""
        for node in self._library.nodes_of(declaration):
            yield from extended(node)

    @property
    def called_names(self) -> frozenset[str]:
        """Return the names of all callable members of the library's exported types."""
        if self._called is None:
            symbols: list[Symbol] = [
                symbol for found in self._library.symbols.values() for symbol in found.values()
            ]
            self._called = frozenset(
                member.name
                for symbol in symbols
                for member in self.own(symbol.declaration).values()
                if member.is_callable
            )
        return self._called


def extended(declaration: Node) -> Iterator[Node]:
    """Yield what a class or interface extends: an expression for classes, types for interfaces."""
    for child in declaration.named_children:
        if child.type == "class_heritage":
            for clause in child.named_children:
                value = clause.child_by_field_name("value")
                if clause.type == "extends_clause" and value is not None:
                    yield value
        elif child.type == "extends_type_clause":
            yield from child.named_children


def _members(node: Node, owner: Declaration) -> Iterator[Member]:
    body = node.child_by_field_name("body")
    for child in body.named_children if body is not None else []:
        if child.type not in _METHODS and child.type not in _FIELDS:
            continue
        name = child.child_by_field_name("name")
        if name is None:
            continue
        if text_of(name) == "constructor" and child.type == "method_definition":
            yield from _parameter_fields(child, owner)
            continue
        is_static = any(part.type == "static" for part in child.children)
        yield Member(owner, text_of(name), child, is_static)


def _parameter_fields(constructor: Node, owner: Declaration) -> Iterator[Member]:
    """Yield the fields that `constructor(private readonly name: Type)` declares."""
    parameters = constructor.child_by_field_name("parameters")
    for parameter in parameters.named_children if parameters is not None else []:
        pattern = parameter.child_by_field_name("pattern")
        modified = any(c.type in ("accessibility_modifier", "readonly") for c in parameter.children)
        if modified and pattern is not None and pattern.type == "identifier":
            yield Member(owner, text_of(pattern), parameter, is_static=False)
