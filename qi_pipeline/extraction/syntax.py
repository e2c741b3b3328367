"""TypeScript syntax trees: parsing, walking, positions.

Flows in: source text. Flows out: tree-sitter trees with the few helpers every other module of this
package needs. Meaning (imports, calls, units) does not belong here.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Query, QueryCursor, Tree

_LANGUAGE = Language(tree_sitter_typescript.language_typescript())
_THREAD = threading.local()


@dataclass(frozen=True, eq=False)
class Module:
    """A parsed TypeScript text."""

    text: str
    source: bytes
    tree: Tree

    @cached_property
    def root(self) -> Node:
        """The `program` node."""
        return self.tree.root_node

    @cached_property
    def statements(self) -> Sequence[Node]:
        """The top-level statements, and the comments between them."""
        return self.root.named_children


def parse_module(text: str) -> Module:
    """Parse TypeScript; a text with syntax errors still gives a tree (see `syntax_error_line`).

    A byte order mark is dropped, as the compiler does; lone surrogates become `?`.
    """
    text = text.removeprefix("\ufeff")
    try:
        source = text.encode()
    except UnicodeEncodeError:
        source = text.encode(errors="replace")
        text = source.decode()
    return Module(text, source, _parser().parse(source))


def _parser() -> Parser:
    """Return the thread's parser: what it allocated for one text it uses for the next."""
    parser: Parser | None = getattr(_THREAD, "parser", None)
    if parser is None:
        parser = _THREAD.parser = Parser(_LANGUAGE)
    return parser


_MAX_DEPTH = 250
"""Levels of syntax beyond which a text is no program of a person: the deepest file of the real
library has 40. It keeps the recursion over patterns and the walks up the tree short."""


def nests_too_deeply(module: Module) -> bool:
    """Tell whether the syntax tree is deeper than any program that people write."""
    return may_nest_deeper(module.tree, _MAX_DEPTH)


def may_nest_deeper(tree: Tree, limit: int) -> bool:
    """Tell whether a tree may have more than `limit` levels: no for one of half of them.

    A subtree of `limit // 2` levels holds as many nodes in a row, so looking at every so many nodes
    finds one of them in any tree that is deeper than `limit`.
    """
    half = limit // 2
    cursor = tree.walk()
    for index in range(0, tree.root_node.descendant_count, half):
        cursor.goto_descendant(index)
        if cursor.depth > half:
            return True
    return False


def syntax_error_line(module: Module) -> int | None:
    """Return the 1-based line of the first syntax error, or None when the text parses.

    `export type * from "x"`, which the grammar does not know, is not an error.
    """
    stack = [module.root]
    while stack:
        node = stack.pop()
        if (node.is_error or node.is_missing) and not _is_type_star_export(node):
            return node.start_point.row + 1
        stack.extend(child for child in reversed(node.children) if child.has_error)
    return None


def _is_type_star_export(node: Node) -> bool:
    return (
        node.text == b"type"
        and node.parent is not None
        and node.parent.type == "export_statement"
        and any(child.type == "*" for child in node.parent.children)
    )


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and its descendants, depth first, without recursion."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(current.children))


def ancestors(node: Node) -> Iterator[Node]:
    """Yield the parent, its parent, and so on up to the program."""
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def text_of(node: Node) -> str:
    """Return the node's source text."""
    source = node.text
    return source.decode() if source else ""


@lru_cache(maxsize=64)
def _compiled(query: str) -> Query:
    return Query(_LANGUAGE, query)


def captures(query: str, node: Node) -> dict[str, list[Node]]:
    """Run a tree-sitter query below `node`; return its captures by name, in source order."""
    found = unordered_captures(query, node)
    return {name: sorted(nodes, key=lambda n: n.start_byte) for name, nodes in found.items()}


def unordered_captures(query: str, node: Node) -> dict[str, list[Node]]:
    """Run a tree-sitter query below `node`; return its captures by name, in no order."""
    return QueryCursor(_compiled(query)).captures(node)


def position(module: Module, node: Node) -> tuple[int, int]:
    """Return the node's start as 1-based (line, column).

    The column counts UTF-16 code units, as the TypeScript compiler and editors do.
    """
    row, column = node.start_point
    start = node.start_byte
    return row + 1, _units(module.source[start - column : start]) + 1


def position_of_byte(module: Module, byte: int) -> tuple[int, int]:
    """Return the place of a byte offset as `position` does."""
    line_start = module.source.rfind(b"\n", 0, byte) + 1
    line = module.source.count(b"\n", 0, byte) + 1
    return line, _units(module.source[line_start:byte]) + 1


def _units(text: bytes) -> int:
    """Return how many UTF-16 code units a UTF-8 text has."""
    if text.isascii():
        return len(text)
    return len(text.decode(errors="replace").encode("utf-16-le")) // 2


def string_value(node: Node | None) -> str | None:
    """Return the content of a string literal node without its quotes; None for anything else."""
    if node is None or node.type != "string":
        return None
    return "".join(text_of(child) for child in node.named_children)
