"""Which declaration a mention of a name means.

Flows in: a syntax tree. Flows out: its declarations, mentions, calls and imports, found by one
query, and for a name at a place the declaration that is visible there. What a top-level name stands
for does not belong here.
"""

import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

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
# `Timeout` in `NodeJS.Timeout`, and the labels of tuples and index signatures: they neither declare
# nor mean any name of the file.
_LABELS = """
(nested_type_identifier name: (_) @label)
(required_parameter name: (_) @label)
(optional_parameter name: (_) @label)
(index_signature name: (_) @label)
"""
_VALUES = """
(variable_declarator value: (identifier) @alias)
(variable_declarator value: (member_expression object: (identifier) @alias))
"""
_MEASURED = """
(if_statement) @decision
(for_statement) @decision
(for_in_statement) @decision
(while_statement) @decision
(do_statement) @decision
(switch_case) @decision
(catch_clause) @decision @catch
(ternary_expression) @decision
(binary_expression operator: ["&&" "||" "??"]) @decision
(arrow_function) @function
(function_expression) @function
(function_declaration) @function
(generator_function) @function
(generator_function_declaration) @function
(method_definition) @function
(await_expression) @await
"""
# One query finds it all: most of what a query costs is the way through the tree.
_QUERY = _DECLARED + _MENTIONS + _LABELS + _CALLED + _VALUES + _MEASURED

Extent = tuple[int, int]


class Declared(NamedTuple):
    """One name that a file declares, imports left out."""

    node: Node
    """The declaring identifier."""
    pattern: Node
    """The binding pattern it stands in; the identifier itself where there is none."""
    kind: str
    """parameter, type_parameter, caught, variable, loop, named, named_type or own."""
    extent: Extent | None
    """The bytes in which the name is visible; None for the whole file."""

    @property
    def is_value(self) -> bool:
        """Tell whether expressions can mean it."""
        return self.kind not in ("type_parameter", "named_type")

    @property
    def is_type(self) -> bool:
        """Tell whether annotations can mean it."""
        return self.node.type == "type_identifier"


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
    """Where one file declares, mentions, calls and imports names, decides, and waits."""

    def __init__(self, root: Node) -> None:
        """Find them below `root` when they are first asked for."""
        self.root = root
        self._visible: dict[tuple[bytes | None, bool], list[tuple[Extent, Declared]]] = {}
        self._inner: dict[tuple[bytes | None, bool], list[Extent]] = {}
        self._extents: dict[str, list[Extent]] = {}

    @cached_property
    def _found(self) -> Mapping[str, list[Node]]:
        return unordered_captures(_QUERY, self.root)

    def of(self, capture: str, names: Collection[bytes] | None = None) -> list[Node]:
        """Return the nodes of one capture in no particular order; of these `names` if given."""
        found = self._found.get(capture, [])
        return found if names is None else [node for node in found if node.text in names]

    @cached_property
    def by_name(self) -> Mapping[str, list[Node]]:
        """Each name that is mentioned or declared to where that is, in no particular order."""
        table: defaultdict[bytes | None, list[Node]] = defaultdict(list)
        for node in self.of("name"):
            table[node.text].append(node)
        return {name.decode(): nodes for name, nodes in table.items() if name}

    def within(self, capture: str, node: Node) -> list[Extent]:
        """Return where the nodes of one capture lie in `node`, in source order."""
        extents = self._extents.get(capture)
        if extents is None:
            extents = sorted((found.start_byte, found.end_byte) for found in self.of(capture))
            self._extents[capture] = extents
        if not extents:
            return extents
        first = bisect_left(extents, (node.start_byte,))
        return extents[first : bisect_left(extents, (node.end_byte,), first)]

    @cached_property
    def _declaring(self) -> Mapping[bytes | None, list[tuple[Node, Node, str]]]:
        """Name to the identifiers that declare it, with their patterns and kinds."""
        table: defaultdict[bytes | None, list[tuple[Node, Node, str]]] = defaultdict(list)
        for kind in _KINDS:
            for pattern in self.of(kind):
                for node in bound_identifiers(pattern):
                    table[node.text].append((node, pattern, kind))
        return table

    def meant(self, mention: Node, *, as_type: bool = False) -> Declared | None:
        """Return the declaration that a mention of a name means; None when the file has none."""
        place = mention.start_byte
        best: Declared | None = None
        smallest = _WHOLE_FILE[1] + 1
        for (start, end), declared in self._visible_as(mention.text, as_type):
            # Scopes nest: of those around a place the smallest is the innermost.
            if start <= place < end and end - start < smallest:
                best, smallest = declared, end - start
        return best

    def inner(self, name: bytes | None, *, as_type: bool) -> list[Extent]:
        """Return where an inner declaration of a name is what mentions of it mean."""
        key = name, as_type
        extents = self._inner.get(key)
        if extents is None:
            visible = self._visible_as(name, as_type)
            extents = [extent for extent, declared in visible if declared.extent is not None]
            self._inner[key] = extents
        return extents

    @cached_property
    def labels(self) -> frozenset[int]:
        """Where names stand that neither declare nor mean anything."""
        return frozenset(node.start_byte for node in self.of("label"))

    def _visible_as(
        self,
        name: bytes | None,
        as_type: bool,  # noqa: FBT001
    ) -> list[tuple[Extent, Declared]]:
        key = name, as_type
        found = self._visible.get(key)
        if found is None:
            declarations = [_declared(*item) for item in self._declaring.get(name, ())]
            found = self._visible[key] = [
                (declared.extent or _WHOLE_FILE, declared)
                for declared in declarations
                if (declared.is_type if as_type else declared.is_value)
            ]
        return found


_WHOLE_FILE: Extent = (0, sys.maxsize)


def _declared(node: Node, pattern: Node, kind: str) -> Declared:
    scope = _scope_of(kind, pattern)
    extent = None if scope is None else (scope.start_byte, scope.end_byte)
    return Declared(node, pattern, kind, extent)


class Scopes:
    """The inner declarations below one node that hide any of the given top-level names."""

    def __init__(self, source: Node | Occurrences, names: AbstractSet[str]) -> None:
        """Find the declarations of `names` in the blocks and functions below `source`."""
        self._occurrences = source if isinstance(source, Occurrences) else Occurrences(source)
        self._names = names

    def hides(self, mention: Node) -> bool:
        """Tell whether an inner declaration is what this mention of a name means."""
        if text_of(mention) not in self._names:
            return False
        is_type = mention.type == "type_identifier"
        inner = self._occurrences.inner(mention.text, as_type=is_type)
        return any(start <= mention.start_byte < end for start, end in inner)

    def free_mentions(self, node: Node) -> tuple[Node, ...]:
        """Return the mentions below `node` that mean a top-level name, declarations too."""
        return self._mentions.nodes[self._below(node)]

    def names_in(self, node: Node) -> frozenset[str]:
        """Return the names that `free_mentions` finds."""
        return frozenset(self._mentions.names[self._below(node)])

    def value_names_in(self, node: Node) -> frozenset[str]:
        """Return those of `names_in` that stand anywhere but in a type."""
        return frozenset(self._mentions.value_names[self._below(node)]) - {""}

    def _below(self, node: Node) -> slice:
        starts = self._mentions.starts
        return slice(bisect_left(starts, node.start_byte), bisect_left(starts, node.end_byte))

    @cached_property
    def _mentions(self) -> "_Mentions":
        source = self._occurrences
        mentions, labels = source.by_name, source.labels
        found: list[tuple[int, Node, str, str]] = []
        for name in self._names & mentions.keys():
            text = name.encode()
            as_type, as_value = source.inner(text, as_type=True), source.inner(text, as_type=False)
            for node in mentions[name]:
                start, is_type = node.start_byte, node.type == "type_identifier"
                inner = as_type if is_type else as_value
                hidden = any(first <= start < end for first, end in inner) if inner else False
                if not hidden and start not in labels:
                    found.append((start, node, name, "" if is_type else name))
        found.sort(key=itemgetter(0))
        starts, nodes, every, values = zip(*found, strict=True) if found else ((), (), (), ())
        return _Mentions(starts, nodes, every, values)


class _Mentions(NamedTuple):
    """The free mentions in a whole file, in source order."""

    starts: tuple[int, ...]
    nodes: tuple[Node, ...]
    names: tuple[str, ...]
    value_names: tuple[str, ...]
    """The names of those in types are empty."""


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
