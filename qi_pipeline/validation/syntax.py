"""One TypeScript module as a syntax tree whose offsets are the compiler's.

Flows in: text. Flows out: a `ParsedModule`. The text is parsed as UTF-16, so that a node's byte
offset is twice the UTF-16 offset the compiler counts in. What a node means belongs to `admission`
and `rules`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Tree

FUNCTION_LITERALS = frozenset({"arrow_function", "function_expression", "generator_function"})
ASSERTIONS = frozenset({"as_expression", "type_assertion"})
_WRAPPERS = ASSERTIONS | {
    "parenthesized_expression",
    "satisfies_expression",
    "non_null_expression",
}
TRIVIA = r"(?:[\s\ufeff]|//[^\n]*\n|/\*(?:[^*]|\*(?!/))*+\*/)*+"
"""Regular expression of what may stand between two tokens; possessive, so it cannot run away."""
_LINE_END = re.compile("\r\n|\r|\n|\u2028|\u2029")


@cache
def _language() -> Language:
    return Language(tree_sitter_typescript.language_typescript())


@dataclass(frozen=True)
class ParsedModule:
    """A module's text and its syntax tree."""

    text: str
    tree: Tree

    @cached_property
    def utf16(self) -> bytes:
        """The text in the encoding its offsets count in."""
        return self.text.encode("utf-16-le")

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every named node, in source order."""
        return tuple(walk(self.tree.root_node))

    @cached_property
    def _by_type(self) -> dict[str, list[Node]]:
        groups: dict[str, list[Node]] = {}
        for node in self.nodes:
            groups.setdefault(node.type, []).append(node)
        return groups

    def of_type(self, *types: str) -> list[Node]:
        """Return the nodes of the given types, in source order within each type."""
        return [node for wanted in types for node in self._by_type.get(wanted, ())]

    def slice(self, start: int, end: int) -> str:
        """Return the text between two UTF-16 offsets."""
        return self.utf16[2 * start : 2 * end].decode("utf-16-le", errors="replace")

    def text_of(self, node: Node) -> str:
        """Return the source text of `node`."""
        return self.slice(*span_of(node))

    def offset_of(self, index: int) -> int:
        """Return the UTF-16 offset of the character at `index`."""
        return len(self.text[:index].encode("utf-16-le")) // 2

    def position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column (in UTF-16 units) of a UTF-16 offset."""
        before = self.slice(0, offset)
        ends = list(_LINE_END.finditer(before))
        start = ends[-1].end() if ends else 0
        return len(ends) + 1, len(before[start:].encode("utf-16-le")) // 2 + 1

    def line_of(self, node: Node) -> int:
        """Return the 1-based line on which `node` starts."""
        return self.position(span_of(node)[0])[0]


def parse_module(text: str) -> ParsedModule:
    """Parse `text`, which must hold no lone surrogates; errors become ERROR nodes, never raise."""
    tree = Parser(_language()).parse(text.encode("utf-16-le"), encoding="utf16le")
    return ParsedModule(text, tree)


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and its named descendants in source order, without recursion."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(current.named_children))


def span_of(node: Node) -> tuple[int, int]:
    """Return the UTF-16 offsets of the start and end of `node`."""
    return node.start_byte // 2, node.end_byte // 2


def unwrapped(node: Node) -> Node:
    """Return the expression inside parentheses, assertions and `!`."""
    while (inner := _wrapped_by(node)) is not None:
        node = inner
    return node


def without_parentheses(node: Node) -> Node:
    """Return the expression inside parentheses only."""
    while node.type == "parenthesized_expression" and (inner := _wrapped_by(node)) is not None:
        node = inner
    return node


def is_wrapper(node: Node) -> bool:
    """Tell whether `node` is parentheses, an assertion or `!` around an expression."""
    return _wrapped_by(node) is not None


def _wrapped_by(node: Node) -> Node | None:
    if node.type not in _WRAPPERS:
        return None
    parts = [child for child in node.named_children if child.type != "comment"]
    # `<Type>value` has its type in front, every other wrapper behind.
    position = 1 if node.type == "type_assertion" else 0
    return parts[position] if position < len(parts) else None


def callee_of(call: Node) -> Node | None:
    """Return the called expression of a call or `new`, without its wrappers."""
    callee = call.child_by_field_name("function") or call.child_by_field_name("constructor")
    if callee is None:
        return None
    callee = unwrapped(callee)
    # `await f<T>(x)` is parsed as `(await f)<T>(x)`.
    if callee.type == "await_expression" and callee.named_children:
        callee = unwrapped(callee.named_children[0])
    return callee


def arguments_of(call: Node) -> list[Node]:
    """Return the argument expressions of a call, without comments."""
    arguments = call.child_by_field_name("arguments")
    if arguments is None or arguments.type != "arguments":
        return []
    return [child for child in arguments.named_children if child.type != "comment"]


def string_value(module: ParsedModule, node: Node) -> str | None:
    """Return the value of a string literal without escapes or substitutions, else None."""
    node = unwrapped(node)
    if node.type not in {"string", "template_string"}:
        return None
    if any(child.type == "template_substitution" for child in node.named_children):
        return None
    return module.text_of(node)[1:-1]


def specifiers_of(module: ParsedModule) -> Iterator[tuple[Node, Node]]:
    """Yield each node that imports a module, with the expression that names the module."""
    for node in module.of_type("import_statement", "export_statement", "import_require_clause"):
        source = node.child_by_field_name("source")
        if source is not None:
            yield node, source
    for node in module.of_type("call_expression"):
        arguments = arguments_of(node)
        if arguments and called_text(module, node) in {"import", "require"}:
            yield node, arguments[0]


def called_text(module: ParsedModule, call: Node) -> str | None:
    """Return the source text of what a call calls."""
    callee = callee_of(call)
    return None if callee is None else module.text_of(callee)


def is_async(function: Node) -> bool:
    """Tell whether a function literal is marked `async`."""
    return function.type in FUNCTION_LITERALS and any(
        child.type == "async" for child in function.children
    )


def named_functions(module: ParsedModule) -> Iterator[tuple[Node, Node]]:
    """Yield each function declaration and each declarator of a function, with its name."""
    for node in module.of_type("function_declaration", "variable_declarator"):
        name = node.child_by_field_name("name")
        if name is not None and _declared_name(module, node) is not None:
            yield node, name


def declared_names_around(module: ParsedModule, node: Node) -> set[str]:
    """Return the names of the functions (`name`) and methods (`Class.name`) around `node`."""
    names: set[str] = set()
    current: Node | None = node
    while current is not None:
        name = _declared_name(module, current)
        if name is not None:
            names.add(name)
        current = current.parent
    return names


def _declared_name(module: ParsedModule, node: Node) -> str | None:
    """Return `name` of a function or `Class.name` of a method declaration."""
    name = node.child_by_field_name("name")
    if name is None:
        return None
    if node.type == "method_definition":
        owner = node.parent.parent if node.parent is not None else None
        owner_name = None if owner is None else owner.child_by_field_name("name")
        return (
            None if owner_name is None else f"{module.text_of(owner_name)}.{module.text_of(name)}"
        )
    if node.type == "function_declaration":
        return module.text_of(name)
    value = node.child_by_field_name("value")
    is_function = value is not None and unwrapped(value).type in FUNCTION_LITERALS
    return module.text_of(name) if node.type == "variable_declarator" and is_function else None
