"""How failure is expressed: R7 to R10.

Flows in: `Evidence`. Flows out: findings.
"""

from collections.abc import Iterator

from tree_sitter import Node

from qi_pipeline.validation.catching import Catching
from qi_pipeline.validation.evidence import (
    Evidence,
    Finding,
    category_argument,
    errors_of,
    promise_of,
    spreads_of,
)
from qi_pipeline.validation.expression_types import Sort
from qi_pipeline.validation.references import Call
from qi_pipeline.validation.syntax import around, exported_around, unwrapped

_PLAIN_LITERALS = {
    "string": "a text",
    "template_string": "a text",
    "array": "a list",
    "regex": "a plain value",
    **dict.fromkeys(("number", "true", "false", "null", "undefined"), "a plain value"),
}
_MISFITS = {
    Sort.EXCEPTION: "an exception",
    Sort.PRIMITIVE: "a plain value",
    Sort.FUNCTION: "a function",
    Sort.BUILT_IN: "a plain value",
}


def throw(evidence: Evidence) -> Iterator[Finding]:
    """R7: an exception is thrown where nothing of the library catches it."""
    statements = evidence.module.of_type("throw_statement")
    if not statements:
        return
    catching = Catching(evidence)
    allowed = set(evidence.conventions.throwing_declarations)
    for node in statements:
        if not catching.reaches(node) and allowed.isdisjoint(
            exported_around(evidence.module, node)
        ):
            yield node, {}


def try_catch(evidence: Evidence) -> Iterator[Finding]:
    """R8: exceptions are caught by hand, other than in the library's own catching functions."""
    catching = set(evidence.conventions.throwing_callbacks)
    for node in evidence.module.of_type("try_statement"):
        has_handler = node.child_by_field_name("handler") is not None
        if has_handler and catching.isdisjoint(exported_around(evidence.module, node)):
            yield node, {}


def unknown_category(evidence: Evidence) -> Iterator[Finding]:
    """R9: an error category that the library does not have."""
    known = evidence.conventions.error_categories
    for call in evidence.references.calls:
        node = category_argument(evidence.references, call)
        value = None if node is None else evidence.text_value(node)
        if node is not None and value is not None and value not in known:
            yield node, {"name": value, "known": ", ".join(known)}


def made_without_factory(evidence: Evidence) -> Iterator[Finding]:
    """R10: a failed Result holds something that no error factory made."""
    for call in evidence.references.calls:
        for error in errors_of(evidence.conventions, call):
            what = _other_than_an_error(evidence, call, error)
            if what is not None:
                yield error, {"name": what}


def _other_than_an_error(evidence: Evidence, call: Call, error: Node) -> str | None:
    """Say what stands where an error should; None if it is one or cannot be told.

    A type parameter is whatever the caller passes, and an object of another declared type may be
    the error type that a module chose on purpose.
    """
    inner = unwrapped(error)
    if inner.type in _PLAIN_LITERALS:
        return _PLAIN_LITERALS[inner.type]
    # A cast says what somebody claims; what it is cast from says what it is.
    known = (evidence.type_of(error), evidence.type_of(inner))
    if any(one.is_unknown for one in known) and _is_caught(evidence, error):
        return "what was caught"
    sorts = known[0].sorts | known[1].sorts
    misfit = next((what for sort, what in _MISFITS.items() if sort in sorts), None)
    if misfit is None and sorts == {Sort.NOTHING}:
        return "a plain value"
    literal = _posing_literal(evidence, inner)
    if misfit is not None or literal is None:
        return misfit
    return None if _is_on_purpose(evidence, call, error, literal) else "an object literal"


def _posing_literal(evidence: Evidence, error: Node) -> Node | None:
    """Return the object literal that stands for an error, directly or through a variable.

    A variable may hold any object; one with an error's members poses as an error.
    """
    if error.type == "object":
        return error
    literal = evidence.references.object_behind(error)
    member = evidence.conventions.error_member
    return literal if literal is not None and member in _keys_of(evidence, literal) else None


def _is_on_purpose(evidence: Evidence, call: Call, error: Node, literal: Node) -> bool:
    """Tell whether an object literal extends an error or is of another error type by choice."""
    if any(Sort.LIBRARY_ERROR in evidence.type_of(one).sorts for one in spreads_of(literal)):
        return True
    inner = unwrapped(error)
    promise = promise_of(evidence.module, call.node)
    places = [call.node, inner, *([] if promise is None else [promise])]
    chosen = {sort for place in places for sort in evidence.type_of(place).expected}
    chosen |= evidence.type_of(error).sorts
    is_library_error = Sort.LIBRARY_ERROR in chosen and evidence.conventions.error_member in (
        _keys_of(evidence, literal)
    )
    return Sort.DECLARED in chosen and not is_library_error


def _keys_of(evidence: Evidence, literal: Node) -> set[str]:
    keys = (part.child_by_field_name("key") or part for part in literal.named_children)
    return {evidence.module.text_of(key).strip("\"'") for key in keys}


def _is_caught(evidence: Evidence, error: Node) -> bool:
    """Tell whether `error` is the variable of a catch clause.

    Anything else of unknown type may be an error that the compiler could not infer.
    """
    name = evidence.module.text_of(unwrapped(error))
    clauses = (one for one in around(error) if one.type == "catch_clause")
    return any(
        evidence.module.text_of(parameter) == name
        for clause in clauses
        for parameter in [clause.child_by_field_name("parameter")]
        if parameter is not None
    )
