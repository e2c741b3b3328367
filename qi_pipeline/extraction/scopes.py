"""Which declaration a mention of a name means.

Flows in: a syntax tree. Flows out: its declarations, mentions, calls and imports, found by one
query, and for a name at a place the declaration that is visible there. What a top-level name stands
for does not belong here.
"""

import sys
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Node

from qi_pipeline.extraction.syntax import ancestors, text_of, unordered_captures

_DECLARED = """
(required_parameter pattern: (_) @parameter)
(optional_parameter pattern: (_) @parameter)
(arrow_function parameter: (identifier) @parameter)
(type_parameter name: (type_identifier) @type_parameter)
(mapped_type_clause name: (type_identifier) @type_parameter)
(catch_clause parameter: (_) @caught)
(variable_declarator name: (_) @variable)
(for_in_statement kind: _ left: (_) @loop)
(function_declaration name: (identifier) @named)
(generator_function_declaration name: (identifier) @named)
(class_declaration name: (type_identifier) @named)
(abstract_class_declaration name: (type_identifier) @named)
(enum_declaration name: (identifier) @named)
(interface_declaration name: (type_identifier) @named_type)
(type_alias_declaration name: (type_identifier) @named_type)
(function_expression name: (identifier) @own)
(generator_function name: (identifier) @own)
(class name: (type_identifier) @own)
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
_MENTIONS = """
(identifier) @name
(type_identifier) @name
(shorthand_property_identifier) @name
"""
# The grammar reads `await f<T>(x)` as a call of `await f`.
_CALLED = """
(call_expression function: (identifier) @direct)
(call_expression function: (member_expression object: (identifier) @object))
(call_expression
  function: (member_expression object: (member_expression object: (identifier) @inner_object)))
(call_expression function: (member_expression property: (_) @member))
(call_expression function: (subscript_expression index: (string) @member))
(call_expression function: (subscript_expression object: (identifier) @object index: (string)))
(call_expression function: (parenthesized_expression) @wrapped)
(call_expression function: (non_null_expression) @wrapped)
(call_expression function: (await_expression) @wrapped)
(call_expression function: (import) @dynamic)
(new_expression constructor: (identifier) @new)
(new_expression constructor: (member_expression object: (identifier) @new_object))
(new_expression constructor: (parenthesized_expression) @new_wrapped)
"""
_VALUES = """
(variable_declarator value: (identifier) @alias)
(variable_declarator value: (member_expression object: (identifier) @alias))
"""
# Nodes that label something with an identifier without declaring or meaning any name.
_LABELLED = frozenset({"required_parameter", "optional_parameter", "index_signature"})


Extent = tuple[int, int]


@dataclass(frozen=True)
class Declared:
    """One name that a file declares, imports left out."""

    node: Node
    """The declaring identifier."""
    pattern: Node
    """The binding pattern it stands in; the identifier itself where there is none."""
    kind: str
    """parameter, type_parameter, caught, variable, loop, named, named_type or own."""

    @property
    def is_value(self) -> bool:
        """Tell whether expressions can mean it."""
        return self.kind not in ("type_parameter", "named_type")

    @property
    def is_type(self) -> bool:
        """Tell whether annotations can mean it."""
        return self.node.type == "type_identifier"

    @cached_property
    def extent(self) -> Extent | None:
        """The bytes in which the name is visible; None for the whole file."""
        scope = _scope_of(self.kind, self.pattern)
        return None if scope is None else (scope.start_byte, scope.end_byte)


_KINDS = (
    "parameter",
    "type_parameter",
    "caught",
    "variable",
    "loop",
    "named",
    "named_type",
    "own",
)


class Occurrences:
    """Where one file declares, mentions, calls and imports names."""

    def __init__(self, root: Node) -> None:
        """Run the query below `root`."""
        self.root = root
        self._visible: dict[tuple[str, bool], list[tuple[Extent, Declared]]] = {}
        self._found = unordered_captures(_DECLARED + _MENTIONS + _CALLED + _VALUES, root)

    def of(self, capture: str, names: Collection[bytes] | None = None) -> list[Node]:
        """Return the nodes of one capture in no particular order; of these `names` if given."""
        found = self._found.get(capture, [])
        return found if names is None else [node for node in found if node.text in names]

    @cached_property
    def declared(self) -> dict[str, list[Declared]]:
        """Name to its declarations."""
        table: dict[str, list[Declared]] = {}
        for kind in _KINDS:
            for pattern in self.of(kind):
                for node in bound_identifiers(pattern):
                    table.setdefault(text_of(node), []).append(Declared(node, pattern, kind))
        return table

    def meant(self, mention: Node, *, as_type: bool = False) -> Declared | None:
        """Return the declaration that a mention of a name means; None when the file has none."""
        key = text_of(mention), as_type
        visible = self._visible.get(key)
        if visible is None:
            visible = self._visible[key] = self._visible_as(*key)
        place = mention.start_byte
        best: Declared | None = None
        smallest = _WHOLE_FILE[1] + 1
        for (start, end), declared in visible:
            # Scopes nest: of those around a place the smallest is the innermost.
            if start <= place < end and end - start < smallest:
                best, smallest = declared, end - start
        return best

    def _visible_as(self, name: str, as_type: bool) -> list[tuple[Extent, Declared]]:  # noqa: FBT001
        return [
            (declared.extent or _WHOLE_FILE, declared)
            for declared in self.declared.get(name, ())
            if (declared.is_type if as_type else declared.is_value)
        ]


_WHOLE_FILE: Extent = (0, sys.maxsize)


class Scopes:
    """The inner declarations below one node that hide any of the given top-level names."""

    def __init__(self, source: Node | Occurrences, names: Collection[str]) -> None:
        """Find the declarations of `names` in the blocks and functions below `source`."""
        self._occurrences = source if isinstance(source, Occurrences) else Occurrences(source)
        self._names = frozenset(names)
        self._values: dict[str, list[Extent]] = {}
        self._types: dict[str, list[Extent]] = {}
        for name, found in self._occurrences.declared.items():
            if name in self._names:
                for declared in found:
                    self._add(name, declared)

    def _add(self, name: str, declared: Declared) -> None:
        if declared.extent is None:
            return
        if declared.is_value:
            self._values.setdefault(name, []).append(declared.extent)
        if declared.is_type:
            self._types.setdefault(name, []).append(declared.extent)

    def hides(self, mention: Node) -> bool:
        """Tell whether an inner declaration is what this mention of a name means."""
        table = self._types if mention.type == "type_identifier" else self._values
        extents = table.get(text_of(mention))
        if not extents:
            return False
        return any(start <= mention.start_byte < end for start, end in extents)

    def free_mentions(self, node: Node) -> Iterator[Node]:
        """Yield the mentions below `node` that mean a top-level name, declarations too."""
        mentions, starts = self._mentions
        first, last = bisect_left(starts, node.start_byte), bisect_left(starts, node.end_byte)
        yield from mentions[first:last]

    @cached_property
    def _mentions(self) -> tuple[list[Node], list[int]]:
        """The free mentions in the whole file, and where each starts."""
        found = [
            mention
            for mention in self._occurrences.of("name", {name.encode() for name in self._names})
            if not self.hides(mention) and not _is_member_or_label(mention)
        ]
        found.sort(key=lambda mention: mention.start_byte)
        return found, [mention.start_byte for mention in found]


def _is_member_or_label(mention: Node) -> bool:
    """Tell `Timeout` in `NodeJS.Timeout`, and the labels of tuples and index signatures."""
    parent = mention.parent
    if parent is None:
        return False
    if parent.type == "nested_type_identifier":
        return parent.child_by_field_name("name") == mention
    return parent.type in _LABELLED and parent.child_by_field_name("name") == mention


def bound_identifiers(pattern: Node) -> list[Node]:
    """Return the identifiers a binding pattern declares (default values do not declare)."""
    if pattern.type in ("identifier", "type_identifier", "shorthand_property_identifier_pattern"):
        return [pattern]
    if pattern.type in ("assignment_pattern", "object_assignment_pattern"):
        left = pattern.child_by_field_name("left")
        return bound_identifiers(left) if left is not None else []
    if pattern.type == "pair_pattern":
        value = pattern.child_by_field_name("value")
        return bound_identifiers(value) if value is not None else []
    if pattern.type in ("object_pattern", "array_pattern", "rest_pattern"):
        return [found for child in pattern.named_children for found in bound_identifiers(child)]
    return []


def _scope_of(capture: str, pattern: Node) -> Node | None:
    """Return the node inside which the declared name is visible; None for the whole file."""
    parent = pattern.parent
    if capture == "type_parameter":
        owner = parent.parent if parent is not None else None
        return owner.parent if owner is not None else None
    if capture == "caught" or (capture == "own" and parent is not None):
        return parent
    wanted = _FUNCTIONS if capture == "parameter" or _is_var(pattern) else _BLOCKS
    named = capture in ("named", "named_type")
    inner = ancestors(parent) if named and parent is not None else ancestors(pattern)
    return next((node for node in inner if node.type in wanted), None)


def _is_var(name: Node) -> bool:
    """Tell `var name`, whose scope is the function, from names whose scope is the block."""
    holder = name.parent
    if holder is not None and holder.type == "variable_declarator":
        holder = holder.parent
        return holder is not None and holder.type == "variable_declaration"
    return (
        holder is not None
        and holder.type == "for_in_statement"
        and any(child.type == "var" for child in holder.children)
    )
