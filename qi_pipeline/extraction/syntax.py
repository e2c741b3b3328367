"""TypeScript syntax trees: parsing, walking, positions.

Flows in: source text. Flows out: tree-sitter trees with the few helpers every other module of this
package needs. Meaning (imports, calls, units) does not belong here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Query, QueryCursor, Tree

_LANGUAGE = Language(tree_sitter_typescript.language_typescript())


@dataclass(frozen=True)
class Module:
    """A parsed TypeScript text."""

    text: str
    source: bytes
    tree: Tree

    @property
    def root(self) -> Node:
        """The `program` node."""
        return self.tree.root_node


def parse_module(text: str) -> Module:
    """Parse TypeScript; a text with syntax errors still gives a tree (see `syntax_error_line`).

    A byte order mark is dropped, as the compiler does; lone surrogates become `?`.
    """
    source = text.removeprefix("\ufeff").encode(errors="replace")
    text = source.decode()
    return Module(text, source, Parser(_LANGUAGE).parse(source))


def syntax_error_line(module: Module) -> int | None:
    """Return the 1-based line of the first syntax error, or None when the text parses.

    `export type * from "x"`, which the grammar does not know, is not an error.
    """
    if not module.root.has_error:
        return None
    return next(
        (
            node.start_point.row + 1
            for node in walk(module.root)
            if (node.is_error or node.is_missing) and not _is_type_star_export(node)
        ),
        None,
    )


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
    return (node.text or b"").decode()


@lru_cache(maxsize=64)
def _compiled(query: str) -> Query:
    return Query(_LANGUAGE, query)


def captures(query: str, node: Node) -> dict[str, list[Node]]:
    """Run a tree-sitter query below `node`; return its captures by name, in source order."""
    found = QueryCursor(_compiled(query)).captures(node)
    return {name: sorted(nodes, key=lambda n: n.start_byte) for name, nodes in found.items()}


def position(module: Module, node: Node) -> tuple[int, int]:
    """Return the node's start as 1-based (line, column).

    The column counts UTF-16 code units, as the TypeScript compiler and editors do.
    """
    row = node.start_point.row
    line_start = node.start_byte - node.start_point.column
    prefix = module.source[line_start : node.start_byte].decode(errors="replace")
    return row + 1, len(prefix.encode("utf-16-le")) // 2 + 1


def string_value(node: Node | None) -> str | None:
    """Return the content of a string literal node without its quotes; None for anything else."""
    if node is None or node.type != "string":
        return None
    return "".join(text_of(child) for child in node.named_children)
