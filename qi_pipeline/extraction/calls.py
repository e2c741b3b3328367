"""Calls of what a file imports from the library: functions, constructors, static members.

Flows in: the names of a parsed file. Flows out: one `Call` per resolved call site. Members of
instances (`logger.info`) need types and belong to `members`.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from tree_sitter import Node

from qi_pipeline.extraction.exports import Symbol
from qi_pipeline.extraction.names import FileNames, unwrapped
from qi_pipeline.extraction.syntax import Module, position, string_value, text_of

CallForm = Literal["direct", "new", "static_member", "instance_member"]


class Call(NamedTuple):
    """One resolved call site; `line` and `column` are 1-based and point at the callee."""

    line: int
    column: int
    symbol: str
    """Exported name; `Class.member` for a member of a class or an interface."""
    package: str
    form: CallForm
    byte: int
    """Offset of the callee in the file, for locating the enclosing unit."""


def call_at(module: Module, callee: Node, package: str, symbol: str, form: CallForm) -> Call:
    """Return the call whose callee is `callee`."""
    line, column = position(module, callee)
    return Call(line, column, symbol, package, form, callee.start_byte)


def imported_calls(names: FileNames) -> Iterator[tuple[Node, Call]]:
    """Yield the calls of names that the file imports or, inside the library, declares.

    Each comes with its callee.
    """
    for callee, form in _callees(names):
        meaning = names.meaning(callee)
        if isinstance(meaning, Symbol):
            yield callee, call_at(names.module, callee, meaning.package, meaning.name, form)


def _callees(names: FileNames) -> Iterator[tuple[Node, CallForm]]:
    """Yield the callees that may lead to the library, and how they are called."""
    occurrences = names.occurrences
    known = {name.encode() for name in names.names}
    for capture in ("direct", "object", "inner_object", "new", "new_object"):
        form: CallForm = "new" if capture.startswith("new") else "direct"
        for node in occurrences.of(capture, known):
            callee = _outer(node, _MEMBERS_AROUND[capture])
            if callee is not None:
                yield callee, form
    for node in occurrences.of("new_wrapped"):
        yield node, "new"
    for node in occurrences.of("wrapped"):
        yield _called(node), "direct"
    for node in occurrences.of("dynamic"):
        callee = _member_of_import(node)
        if callee is not None and callee.parent is not None:
            yield callee, "new" if callee.parent.type == "new_expression" else "direct"


_MEMBERS_AROUND = {"direct": 0, "object": 1, "inner_object": 2, "new": 0, "new_object": 1}


def _outer(node: Node, levels: int) -> Node | None:
    found: Node | None = node
    for _ in range(levels):
        found = found.parent if found is not None else None
    return found


def _called(wrapped: Node) -> Node:
    """Return what is called; the grammar reads `await f<T>(x)` as a call of `await f`."""
    return wrapped.named_children[0] if wrapped.type == "await_expression" else wrapped


def _member_of_import(function: Node) -> Node | None:
    """Return the callee `(await import("…")).name`, given `import`."""
    node = function.parent
    while node is not None and node.type != "member_expression":
        holder = node.parent
        if holder is None or holder.type not in _AROUND_IMPORT:
            return None if holder is None or holder.type != "member_expression" else holder
        node = holder
    return node


_AROUND_IMPORT = frozenset({"parenthesized_expression", "await_expression"})


class MemberCall(NamedTuple):
    """A call of `target.name(…)`, whatever the target is."""

    callee: Node
    target: Node
    name: str
    name_byte: int
    """Offset of the name, which may be written as `["name"]`."""


@lru_cache(maxsize=8)
def _spellings(names: frozenset[str]) -> frozenset[bytes]:
    """Return the names as they follow a dot and as they stand in brackets."""
    return frozenset(form.encode() for n in names for form in (n, f'"{n}"', f"'{n}'"))


def member_calls(names: FileNames, wanted: frozenset[str]) -> Iterator[MemberCall]:
    """Yield the file's calls of members that have one of the wanted names."""
    for node in names.occurrences.of("member", _spellings(wanted)):
        quoted = string_value(node)
        callee = node.parent
        target = callee.child_by_field_name("object") if callee is not None else None
        if callee is not None and target is not None:
            name, skipped = (text_of(node), 0) if quoted is None else (quoted, 1)
            yield MemberCall(callee, target, name, node.start_byte + skipped)
    for wrapped in names.occurrences.of("wrapped"):
        callee = _called(wrapped)
        inner = unwrapped(callee)
        target, member = inner.child_by_field_name("object"), inner.child_by_field_name("property")
        if target is not None and member is not None and text_of(member) in wanted:
            yield MemberCall(callee, target, text_of(member), member.start_byte)
