"""Whether the compiler complains about how a module calls the library.

Flows in: the resolved references of a module and the place of a diagnostic. Flows out: the called
function or member of the library, as it is written. Whether the call is wrong or the library has
moved on is not decided here but in `staleness`.
"""

from collections.abc import Iterable
from pathlib import Path

from tree_sitter import Node

from qi_pipeline.validation.references import Call, References
from qi_pipeline.validation.source_tree import parse_handle
from qi_pipeline.validation.syntax import FUNCTION_LITERALS, callee_of, span_of


def library_callee(references: References, offset: int, roots: Iterable[Path]) -> str | None:
    """Return what the innermost call around the UTF-16 `offset` calls, if the library declares it.

    `roots` are the folders that the library's sources lie in. What stands inside the body of a
    function argument is not part of the call.
    """
    calls = [call for call in references.calls if _is_about(call.node, offset)]
    if not calls:
        return None
    call = min(calls, key=lambda found: span_of(found.node)[1] - span_of(found.node)[0])
    callee = callee_of(call.node)
    if callee is None or not (call.symbol or _is_library_member(references, call, roots)):
        return None
    return references.module.text_of(callee)


def _is_about(call: Node, offset: int) -> bool:
    start, end = span_of(call)
    if not start <= offset < end:
        return False
    node = call.descendant_for_byte_range(2 * offset, 2 * offset)
    while node is not None and node != call:
        body = node.parent is not None and node.parent.type in FUNCTION_LITERALS
        if body and node.parent is not None and node.parent.child_by_field_name("body") == node:
            return False
        node = node.parent
    return True


def _is_library_member(references: References, call: Call, roots: Iterable[Path]) -> bool:
    if call.member is None:
        return False
    paths = (parse_handle(handle)[1] for handle in references.symbols[call.member.offset])
    return any(Path(path).is_relative_to(root) for path in paths for root in roots)
