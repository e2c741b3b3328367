"""Cut files into units: complete things a person would want to write.

A unit is a top-level function, class or value, a test case with the setup around it, a Markdown
block or a notebook cell, provided it calls the library. A method is no unit of its own: without its
class it is not complete. Flows in: parsed files. Flows out: `Unit`s. Making a unit a complete
module belongs to `assembly`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from tree_sitter import Node

from qi_pipeline.extraction.calls import Call
from qi_pipeline.extraction.exports import declared_names
from qi_pipeline.extraction.pattern import SourceKind
from qi_pipeline.extraction.syntax import Module, string_value, text_of


class Unit(NamedTuple):
    """One learnable piece of a TypeScript file."""

    file: str
    source_kind: SourceKind
    kind: str
    """function, class, value or test."""
    container: str
    """Declared name, or the describe path and title of a test."""
    statement: Node
    """The top-level statement (for a test: the call of `it` or `test`)."""
    node: Node
    """The declaring node, `export` and `const` looked through."""
    calls: tuple[Call, ...]
    ordinal: int = 0
    """Position among units of the same file, container and kind."""

    @property
    def line_range(self) -> tuple[int, int]:
        """First and last line, 1-based, inclusive."""
        return self.statement.start_point.row + 1, self.statement.end_point.row + 1


_TEST_CALLS = frozenset({"it", "test"})
_GROUP_CALLS = frozenset({"describe", "suite"})


def cut_units(
    module: Module, file: str, source_kind: SourceKind, calls: Sequence[Call]
) -> list[Unit]:
    """Return the units of one file that hold one of its library `calls` (in source order)."""
    places = [call.byte for call in calls]
    seen: Counter[tuple[str, str]] = Counter()
    found: list[Unit] = []
    for unit in _candidates(module, file, source_kind) if calls else ():
        first = bisect_left(places, unit.statement.start_byte)
        last = bisect_left(places, unit.statement.end_byte)
        if first == last:
            continue
        key = (unit.container, unit.kind)
        found.append(unit._replace(calls=tuple(calls[first:last]), ordinal=seen[key]))
        seen[key] += 1
    return found


def every_unit(module: Module, file: str, source_kind: SourceKind) -> list[Unit]:
    """Return all units of one file, those without any use of the library included."""
    seen: Counter[tuple[str, str]] = Counter()
    found: list[Unit] = []
    for unit in _candidates(module, file, source_kind):
        key = (unit.container, unit.kind)
        found.append(unit._replace(ordinal=seen[key]))
        seen[key] += 1
    return found


def _candidates(module: Module, file: str, source_kind: SourceKind) -> Iterator[Unit]:
    for statement in module.statements:
        # A statement is one unit, named by its first name: `const a = …, b = …` is not cut.
        for name, kind, node in islice(declared_names(statement), 1):
            if kind != "type":
                yield Unit(file, source_kind, kind, name, statement, node, ())
        if statement.type == "expression_statement":
            for titles, call in cases_below(statement):
                path = " > ".join(titles)
                yield Unit(file, source_kind, "test", path, call, call, ())


def called_name(statement: Node) -> str | None:
    """Return `it` for `it(…)` and `it.each(…)(…)`; None when the statement is not a call."""
    node: Node | None = statement
    if node is not None and node.type == "expression_statement":
        node = node.named_children[0] if node.named_children else None
    while node is not None and node.type in ("call_expression", "member_expression"):
        node = node.child_by_field_name("function") or node.child_by_field_name("object")
    return text_of(node) if node is not None and node.type == "identifier" else None


def cases_below(
    statement: Node, titles: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield (describe titles + own title, statement) for each test case below a statement."""
    name = called_name(statement)
    if name in _TEST_CALLS:
        yield (*titles, call_title(statement)), statement
    elif name in _GROUP_CALLS:
        body = group_body(statement)
        for inner in body.named_children if body is not None else []:
            yield from cases_below(inner, (*titles, call_title(statement)))


def call_title(statement: Node) -> str:
    """Return the title of a test or group call: its first argument when that is a string."""
    first = next(iter(_arguments(statement)), None)
    if first is not None and first.type == "template_string":
        return text_of(first).strip("`")
    return string_value(first) or ""


def group_body(statement: Node) -> Node | None:
    """Return the block of a describe call's callback."""
    for argument in _arguments(statement):
        body = argument.child_by_field_name("body")
        if body is not None and body.type == "statement_block":
            return body
    return None


def _arguments(statement: Node) -> list[Node]:
    """Return the arguments of the outermost call: those of `(…)` in `it.each([…])(…)`."""
    call = statement.named_children[0] if statement.named_children else None
    arguments = call.child_by_field_name("arguments") if call is not None else None
    return arguments.named_children if arguments is not None else []
