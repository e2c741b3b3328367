"""Which mentions of a name mean the file's top-level one, and which an inner declaration hides.

Flows in: a syntax tree and the names of interest. Flows out: the free mentions of those names. What
a top-level name stands for does not belong here.
"""

from collections.abc import Collection, Iterator

from tree_sitter import Node

from qi_pipeline.extraction.syntax import ancestors, captures, text_of

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
# Nodes that label something with an identifier without declaring or meaning any name.
_LABELLED = frozenset({"required_parameter", "optional_parameter", "index_signature"})


class Scopes:
    """The inner declarations below one node that hide any of the given top-level names."""

    def __init__(self, root: Node, names: Collection[str]) -> None:
        """Find the declarations of `names` in the blocks and functions below `root`."""
        self._names = names
        self._values: dict[str, list[tuple[int, int]]] = {}
        self._types: dict[str, list[tuple[int, int]]] = {}
        for capture, nodes in captures(_DECLARED, root).items():
            for pattern in nodes:
                for name in bound_identifiers(pattern):
                    if text_of(name) in names:
                        self._add(capture, pattern, name)

    def _add(self, capture: str, pattern: Node, name: Node) -> None:
        scope = _scope_of(capture, pattern)
        if scope is None:
            return
        extent = (scope.start_byte, scope.end_byte)
        if capture not in ("type_parameter", "named_type"):
            self._values.setdefault(text_of(name), []).append(extent)
        if name.type == "type_identifier":
            self._types.setdefault(text_of(name), []).append(extent)

    def hides(self, mention: Node) -> bool:
        """Tell whether an inner declaration is what this mention of a name means."""
        table = self._types if mention.type == "type_identifier" else self._values
        extents = table.get(text_of(mention), ())
        return any(start <= mention.start_byte < end for start, end in extents)

    def free_mentions(self, node: Node) -> Iterator[Node]:
        """Yield the mentions below `node` that mean a top-level name, declarations too."""
        for mention in captures(_MENTIONS, node).get("name", []):
            if (
                text_of(mention) in self._names
                and not self.hides(mention)
                and not _is_member_or_label(mention)
            ):
                yield mention


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
