"""How failure is expressed: R7 to R10.

Flows in: `Evidence`. Flows out: findings.
"""

from collections.abc import Iterator

from tree_sitter import Node

from qi_pipeline.validation.evidence import (
    Evidence,
    Finding,
    category_argument,
    errors_of,
    spreads_of,
)
from qi_pipeline.validation.syntax import (
    FUNCTION_LITERALS,
    arguments_of,
    declared_names_around,
    named_functions,
    span_of,
    unwrapped,
)

_PLAIN_LITERALS = {
    "string": "a text",
    "template_string": "a text",
    "array": "a list",
    **dict.fromkeys(("number", "true", "false", "null", "undefined"), "a plain value"),
}


def throw(evidence: Evidence) -> Iterator[Finding]:
    """R7: an exception is thrown where nothing of the library catches it."""
    statements = evidence.module.of_type("throw_statement")
    if not statements:
        return
    catching = _caught_functions(evidence)
    allowed = set(evidence.conventions.throwing_declarations)
    for node in statements:
        is_caught = not catching.isdisjoint(_ancestors(node))
        if not is_caught and allowed.isdisjoint(declared_names_around(evidence.module, node)):
            yield node, {}


def _caught_functions(evidence: Evidence) -> set[int]:
    """Return the ids of the functions that a catching function of the library calls."""
    symbols = evidence.references.symbols
    caught: set[int] = set()
    handles: set[str] = set()
    for call in evidence.references.calls:
        arguments = arguments_of(call.node)
        if call.name in evidence.conventions.throwing_callbacks and arguments:
            operation = unwrapped(arguments[0])
            if operation.type in FUNCTION_LITERALS:
                caught.add(operation.id)
            handles |= symbols.get(span_of(operation)[0], frozenset())
    for function, name in named_functions(evidence.module):
        if not handles.isdisjoint(symbols.get(span_of(name)[0], frozenset())):
            caught.add(function.id)
    return caught


def _ancestors(node: Node) -> Iterator[int]:
    """Yield the ids of `node` and all nodes around it."""
    current: Node | None = node
    while current is not None:
        yield current.id
        current = current.parent


def try_catch(evidence: Evidence) -> Iterator[Finding]:
    """R8: exceptions are caught by hand, other than in the library's own catching functions."""
    catching = set(evidence.conventions.throwing_callbacks)
    for node in evidence.module.of_type("try_statement"):
        has_handler = node.child_by_field_name("handler") is not None
        if has_handler and catching.isdisjoint(declared_names_around(evidence.module, node)):
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
            what = _other_than_an_error(evidence, error)
            if what is not None:
                yield error, {"name": what}


def _other_than_an_error(evidence: Evidence, error: Node) -> str | None:
    """Say what stands where an error should; None if it is one or cannot be told.

    A type parameter is whatever the caller passes, and an object of another declared type may be
    the error type that a module chose on purpose.
    """
    literal = unwrapped(error).type
    if literal == "object":
        extends_error = any(
            evidence.type_of(spread).is_library_error for spread in spreads_of(error)
        )
        return None if extends_error else "an object literal"
    if literal in _PLAIN_LITERALS:
        return _PLAIN_LITERALS[literal]
    known = evidence.type_of(error)
    if known.is_exception and not known.is_library_error:
        return "an exception"
    if known.is_unknown and _is_caught(evidence, error):
        return "what was caught"
    return "a plain value" if known.is_primitive else None


def _is_caught(evidence: Evidence, error: Node) -> bool:
    """Tell whether `error` is the variable of a catch clause.

    Anything else of unknown type may be an error that the compiler could not infer.
    """
    name = evidence.module.text_of(unwrapped(error))
    current: Node | None = error
    while current is not None:
        if current.type == "catch_clause":
            parameter = current.child_by_field_name("parameter")
            if parameter is not None and evidence.module.text_of(parameter) == name:
                return True
        current = current.parent
    return False
