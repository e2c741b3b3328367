"""Whether the compiler complains about how a module calls the library.

Flows in: the resolved references of a module and the place of a diagnostic. Flows out: the called
function or member of the library, as it is written. Whether the call is wrong or the library has
moved on is not decided here but in `staleness`.
"""

from collections.abc import Iterable
from pathlib import Path

from qi_pipeline.validation.references import Call, References
from qi_pipeline.validation.source_tree import parse_handle
from qi_pipeline.validation.syntax import FUNCTION_LITERALS, around, callee_of


def library_callee(references: References, offset: int, roots: Iterable[Path]) -> str | None:
    """Return what the innermost call around the UTF-16 `offset` calls, if the library declares it.

    `roots` are the folders that the library's sources lie in. What stands inside the body of a
    function argument is not part of the call.
    """
    call = _call_around(references, offset)
    callee = None if call is None else callee_of(call.node)
    if (
        call is None
        or callee is None
        or not (call.symbol or _is_library_member(references, call, roots))
    ):
        return None
    return references.module.text_of(callee)


def _call_around(references: References, offset: int) -> Call | None:
    """Return the innermost call that `offset` is about, found in one way up from there."""
    module = references.module
    inner = module.tree.root_node.descendant_for_byte_range(2 * offset, 2 * offset + 2)
    for node in () if inner is None else around(inner):
        if node.id in references.call_of_node:
            return references.call_of_node[node.id]
        outer = node.parent
        is_in_function = outer is not None and outer.type in FUNCTION_LITERALS
        if is_in_function and outer is not None and outer.child_by_field_name("body") == node:
            return None
    return None


def _is_library_member(references: References, call: Call, roots: Iterable[Path]) -> bool:
    if call.member is None:
        return False
    paths = (parse_handle(handle)[1] for handle in references.symbols[call.member.offset])
    return any(Path(path).is_relative_to(root) for path in paths for root in roots)
