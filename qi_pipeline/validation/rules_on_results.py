"""How a Result may be used: R1 to R6 and R11.

Flows in: `Evidence`. Flows out: findings. Whether something is a Result is the compiler's answer:
`logger.error`, `[1, 2].map(f)` and `entry.value` are none.
"""

from collections.abc import Iterable, Iterator

from qi_pipeline.validation.evidence import (
    Evidence,
    Finding,
    casts_of,
    destructurings,
    functions_before_result,
    membership_tests,
    outer_arguments,
)
from qi_pipeline.validation.references import Call
from qi_pipeline.validation.syntax import (
    FUNCTION_LITERALS,
    Access,
    arguments_of,
    callee_of,
    exported_around,
    is_async,
    unwrapped,
)


def tag_read(evidence: Evidence) -> Iterator[Finding]:
    """R1: the discriminator is read."""
    return _result_reads(evidence, [evidence.conventions.tag_member])


def payload_read(evidence: Evidence) -> Iterator[Finding]:
    """R2: the content is read past the combinators."""
    return _result_reads(evidence, evidence.conventions.payload_members)


def _result_reads(evidence: Evidence, names: Iterable[str]) -> Iterator[Finding]:
    watched = set(names)
    for access in evidence.accesses:
        if access.name not in watched:
            continue
        if evidence.is_result_member(access) or (
            evidence.is_missing_member_of_result(access) and not _is_called(access)
        ):
            yield access.node, {"name": access.name}
    for node, name, target in membership_tests(evidence.module):
        found = watched.intersection(evidence.text_values(name))
        if found and evidence.holds_result(target):
            yield node, {"name": min(found)}


def _is_called(access: Access) -> bool:
    parent = access.node.parent
    return (
        parent is not None
        and parent.type == "call_expression"
        and (callee_of(parent) == access.node)
    )


def destructured(evidence: Evidence) -> Iterator[Finding]:
    """R3: a Result is taken apart by a pattern."""
    for pattern, source in destructurings(evidence.module):
        if evidence.type_of(source).is_result:
            yield pattern, {}


def method_style(evidence: Evidence) -> Iterator[Finding]:
    """R4: a combinator is called on the Result, or with the Result first."""
    for call in evidence.references.calls:
        if call.member is not None and _is_method_on_result(evidence, call.member):
            yield call.node, {"name": call.member.name}
        elif _is_result_first(evidence, call):
            yield call.node, {"name": call.name}


def _is_method_on_result(evidence: Evidence, access: Access) -> bool:
    if access.name in _own_members(evidence):
        return False
    # Older layouts gave Result methods; they resolve, and are no less a violation.
    return evidence.is_result_member(access) or (
        _is_library_function(evidence, access.name) and evidence.is_missing_member_of_result(access)
    )


def _own_members(evidence: Evidence) -> set[str]:
    conventions = evidence.conventions
    return {conventions.tag_member, *conventions.payload_members}


def _is_library_function(evidence: Evidence, name: str) -> bool:
    return name in evidence.conventions.combinators or name in evidence.references.library.names


def _is_result_first(evidence: Evidence, call: Call) -> bool:
    outer = outer_arguments(evidence.conventions, call)
    if outer is None:
        return False
    first, last = outer
    # A default may itself be a Result: unwrapOr(r1, r2) is in order.
    return unwrapped(last).type in FUNCTION_LITERALS or (
        evidence.type_of(first).is_result and not evidence.type_of(last).is_result
    )


def handler_object(evidence: Evidence) -> Iterator[Finding]:
    """R5: the handlers come as one object."""
    for call in evidence.references.calls:
        arguments = arguments_of(call.node)
        if call.name not in evidence.conventions.positional_handlers or not arguments:
            continue
        handlers = unwrapped(arguments[0])
        known = evidence.type_of(handlers)
        is_data = known.is_object and not known.is_callable and not known.is_result
        if handlers.type == "object" or is_data:
            yield call.node, {"name": call.name}


def async_function(evidence: Evidence) -> Iterator[Finding]:
    """R6: a combinator that does not wait is given a function that must be waited for."""
    helpers = evidence.conventions.async_helpers
    # The helpers are made of the combinators they stand for.
    waiting = evidence.conventions.combinators.keys() - helpers.keys()
    for call in evidence.references.calls:
        if call.name not in helpers:
            continue
        for argument in functions_before_result(evidence.conventions, call):
            function = unwrapped(argument)
            returns_promise = is_async(function) or evidence.type_of(function).returns_promise
            around = exported_around(evidence.module, call.node)
            if returns_promise and waiting.isdisjoint(around):
                yield argument, {"name": call.name, "known": helpers[call.name]}


def not_unpacked(evidence: Evidence) -> Iterator[Finding]:
    """R11: what a Result holds is used as if the Result were that thing."""
    own = _own_members(evidence)
    for access in evidence.accesses:
        is_own_called = access.name in own and _is_called(access)
        is_foreign = access.name not in own and not _is_library_function(evidence, access.name)
        if (is_own_called or is_foreign) and evidence.is_missing_member_of_result(access):
            yield access.node, {"name": f".{access.name}"}
    for cast in casts_of(evidence.module):
        known = evidence.type_of(cast.node)
        # Nothing can be done with a Result as `object` that hides what it is.
        is_harmless = known.is_wider and not known.has_own_member
        is_cast_away = not known.is_result and not known.is_open and not is_harmless
        if is_cast_away and evidence.type_of(cast.value).is_result:
            yield cast.node, {"name": "a cast"}
