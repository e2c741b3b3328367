"""Wrong changes that only somebody who knows the library would think of.

Flows in: a TypeScript module and the library's `Profile`. Flows out: `Change`s: a library function
in the place of another one, a step of a chain left out, another category of error. They compile
more often than changes that know nothing of the library. Putting a change into the text, and the
standard operators, belong to `mutants`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tree_sitter import Node

from qi_pipeline.extraction.exports import Import, read_imports
from qi_pipeline.extraction.syntax import Module, parse_module, string_value, text_of, walk
from qi_pipeline.library.profile import Profile

# What stands for itself wherever an expression may stand.
_BINDS_TIGHTLY = frozenset(
    {"identifier", "call_expression", "member_expression", "object", "array"}
)

_WITHOUT_VALUES = frozenset({"literal_type", "import_statement", "export_statement"})


@dataclass(frozen=True)
class Change:
    """One stretch of a text replaced, and what that needs elsewhere."""

    operator: str
    start: int
    """Offset in code points."""
    end: int
    replacement: str
    insertion: tuple[int, str] | None = None
    """Text to insert besides, and the offset where."""


def library_changes(text: str, profile: Profile) -> Iterator[Change]:
    """Yield the changes to a module without syntax errors, which begins without byte order mark."""
    module = parse_module(text)
    imported = {
        item.local: item for item in read_imports(module) if _is_library(item.specifier, profile)
    }
    for node in walk(module.root):
        if node.type == "identifier" and text_of(node) in imported and _is_operand(node):
            yield from _exchanged(module, node, imported, profile)
        elif node.type == "call_expression":
            yield from _left_out(module, node, imported, profile)
        elif node.type == "string" and _is_value(node):
            yield from _recategorized(module, node, profile)


def _is_library(specifier: str, profile: Profile) -> bool:
    return (
        profile.package_of_specifier(specifier) is not None
        or specifier in profile.umbrella.specifiers
    )


def _is_operand(node: Node) -> bool:
    """Tell whether the node is called, passed to a call or the value of a property."""
    parent = node.parent
    if parent is None:
        return False
    if parent.type == "arguments":
        return True
    field = {"call_expression": "function", "pair": "value"}.get(parent.type)
    return field is not None and parent.child_by_field_name(field) == node


def _is_value(node: Node) -> bool:
    """Tell whether a string literal is computed with: no type, name of a member or import path."""
    parent = node.parent
    if parent is None or parent.type in _WITHOUT_VALUES:
        return False
    return all(parent.child_by_field_name(field) != node for field in ("key", "name"))


# ── A function in the place of another one ───────────────────────────────────────────────────────


def _exchanged(
    module: Module, node: Node, imported: Mapping[str, Import], profile: Profile
) -> Iterator[Change]:
    item = imported[text_of(node)]
    other = _next_of_group(item, profile)
    if other is None:
        return
    for known in imported.values():
        if known.imported == other and known.specifier == item.specifier:
            yield _change("LibraryFunction", module, node, known.local)
            return
    place = _specifier_of(item)
    if place is not None:
        insertion = (_offset(module, place.end_byte), f", {other}")
        yield _change("LibraryFunction", module, node, other, insertion)


def _next_of_group(item: Import, profile: Profile) -> str | None:
    package = profile.package_of_specifier(item.specifier)
    for name, groups in profile.interchangeable.items():
        if package is not None and package.name != name:
            continue
        for group in groups:
            if item.imported in group:
                return group[(group.index(item.imported) + 1) % len(group)]
    return None


def _specifier_of(item: Import) -> Node | None:
    """Return what binds the name inside the braces of its import statement."""
    for node in walk(item.statement):
        if node.type == "import_specifier":
            name = node.child_by_field_name("alias") or node.child_by_field_name("name")
            if name is not None and text_of(name) == item.local:
                return node
    return None


# ── A step left out ──────────────────────────────────────────────────────────────────────────────


def _left_out(
    module: Module, call: Node, imported: Mapping[str, Import], profile: Profile
) -> Iterator[Change]:
    """Yield a combinator's Result in the place of what the combinator makes of it."""
    function = call.child_by_field_name("function")
    arguments = call.child_by_field_name("arguments")
    if function is None or arguments is None or text_of(function) not in imported:
        return
    position = profile.conventions.combinators.get(imported[text_of(function)].imported)
    given = [node for node in arguments.named_children if node.type != "comment"]
    if position is None or position >= len(given):
        return
    if any(node.type == "spread_element" for node in given[: position + 1]):
        return
    result = text_of(given[position])
    if given[position].type not in _BINDS_TIGHTLY:
        result = f"({result})"
    yield _change("LibraryStep", module, call, result)


# ── Another category ─────────────────────────────────────────────────────────────────────────────


def _recategorized(module: Module, node: Node, profile: Profile) -> Iterator[Change]:
    categories = profile.conventions.error_categories
    category = string_value(node)
    if category in categories:
        other = categories[(categories.index(category) + 1) % len(categories)]
        yield _change("ErrorCategory", module, node, f'"{other}"')


def _change(
    operator: str,
    module: Module,
    node: Node,
    replacement: str,
    insertion: tuple[int, str] | None = None,
) -> Change:
    start, end = _offset(module, node.start_byte), _offset(module, node.end_byte)
    return Change(operator, start, end, replacement, insertion)


def _offset(module: Module, byte: int) -> int:
    return len(module.source[:byte].decode())
