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
_WRAPPERS = frozenset(
    {"parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression"}
)
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
    while node.type in _WRAPPERS and node.named_children:
        node = node.named_children[0]
    return node


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
