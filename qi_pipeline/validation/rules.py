"""The convention rules of a library.

Flows in: a parsed module and the compiler's answers about it. Flows out: `RuleViolation`s. The
wording and the facts (names, positions, categories) are the profile's; the conditions are here.
Whether something is a Result is the compiler's answer, never a guess from a name: `logger.error`,
`[1, 2].map(f)` and `entry.value` are not violations.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.references import Access, Call, References, accesses_of
from qi_pipeline.validation.syntax import (
    FUNCTION_LITERALS,
    ParsedModule,
    arguments_of,
    span_of,
    string_value,
    unwrapped,
)
from qi_pipeline.validation.verdict import RuleViolation

Span = tuple[int, int]


def member_offsets(module: ParsedModule, profile: Profile) -> Iterator[int]:
    """Yield the offsets of members that may be those of a Result (R1, R2)."""
    watched = {profile.conventions.tag_member, *profile.conventions.payload_members}
    return (access.offset for access in accesses_of(module) if access.name in watched)


def result_spans(references: References) -> Iterator[Span]:
    """Yield the expressions of which the rules must know whether they are a Result (R4)."""
    for call in references.calls:
        if call.member is not None and not references.symbols.get(call.member.offset):
            yield span_of(call.member.target)
        for argument in _outer_arguments(references.profile, call) or ():
            if unwrapped(argument).type not in FUNCTION_LITERALS:
                yield span_of(argument)


@dataclass(frozen=True)
class Judgement:
    """Applies the rules to one module."""

    references: References
    results: frozenset[Span]
    """Those of `result_spans` that the compiler says are a Result."""

    @property
    def module(self) -> ParsedModule:
        """The judged module."""
        return self.references.module

    @property
    def profile(self) -> Profile:
        """The library's profile."""
        return self.references.profile

    def violations(self) -> tuple[RuleViolation, ...]:
        """Return every violation once, sorted by line and rule."""
        found = {
            RuleViolation(
                id=rule,
                line=self.module.line_of(node),
                message=message,
                severity=self.profile.rules[rule].severity,
            )
            for rule, check in _CHECKS.items()
            if rule in self.profile.rules
            for node, fields in check(self)
            for message in [_filled(self.profile.rules[rule].message, fields)]
        }
        return tuple(sorted(found, key=lambda item: (item.line, int(item.id[1:]), item.message)))

    def is_result_member(self, access: Access) -> bool:
        """Tell whether the accessed member is declared by one of the Result types."""
        handles = self.references.symbols.get(access.offset, frozenset())
        return not handles.isdisjoint(self.references.library.result_members)


Finding = tuple[Node, dict[str, str]]


def _filled(message: str, fields: dict[str, str]) -> str:
    for name, value in fields.items():
        message = message.replace(f"{{{name}}}", value)
    return message


def _result_reads(judgement: Judgement, names: Iterable[str]) -> Iterator[Finding]:
    watched = set(names)
    for access in accesses_of(judgement.module):
        if access.name in watched and judgement.is_result_member(access):
            yield access.node, {"name": access.name}


def _tag_read(judgement: Judgement) -> Iterator[Finding]:
    return _result_reads(judgement, [judgement.profile.conventions.tag_member])


def _payload_read(judgement: Judgement) -> Iterator[Finding]:
    return _result_reads(judgement, judgement.profile.conventions.payload_members)


def _method_style(judgement: Judgement) -> Iterator[Finding]:
    for call in judgement.references.calls:
        if call.member is not None and _is_method_on_result(judgement, call.member):
            yield call.node, {"name": call.member.name}
        elif _is_result_first(judgement, call):
            yield call.node, {"name": call.name}


def _is_method_on_result(judgement: Judgement, access: Access) -> bool:
    conventions = judgement.profile.conventions
    if access.name in {conventions.tag_member, *conventions.payload_members}:
        return False
    # Older layouts gave Result methods; they resolve, and are no less a violation.
    return judgement.is_result_member(access) or (
        access.name in conventions.combinators
        and not judgement.references.symbols.get(access.offset)
        and span_of(access.target) in judgement.results
    )


def _outer_arguments(profile: Profile, call: Call) -> tuple[Node, Node] | None:
    """Return the first and last argument of a complete combinator call that may be turned round."""
    position = profile.conventions.combinators.get(call.name)
    arguments = arguments_of(call.node)
    if position is None or len(arguments) != position + 1:
        return None
    if unwrapped(arguments[0]).type in FUNCTION_LITERALS:
        return None
    return arguments[0], arguments[-1]


def _is_result_first(judgement: Judgement, call: Call) -> bool:
    outer = _outer_arguments(judgement.profile, call)
    if outer is None:
        return False
    first, last = outer
    # A default may itself be a Result: unwrapOr(r1, r2) is in order.
    return unwrapped(last).type in FUNCTION_LITERALS or (
        span_of(first) in judgement.results and span_of(last) not in judgement.results
    )


def _handler_object(judgement: Judgement) -> Iterator[Finding]:
    for call in judgement.references.calls:
        arguments = arguments_of(call.node)
        takes_handlers = call.name in judgement.profile.conventions.positional_handlers
        if takes_handlers and arguments and unwrapped(arguments[0]).type == "object":
            yield call.node, {"name": call.name}


def _throw(judgement: Judgement) -> Iterator[Finding]:
    catching = {
        call.node.id
        for call in judgement.references.calls
        if call.name in judgement.profile.conventions.throwing_callbacks
    }
    for node in judgement.module.of_type("throw_statement"):
        if not _may_throw(judgement, node, catching):
            yield node, {}


def _may_throw(judgement: Judgement, node: Node, catching: set[int]) -> bool:
    """Tell whether a function around `node` may throw; `catching` are calls that catch."""
    allowed = judgement.profile.conventions.throwing_declarations
    current: Node | None = node
    while current is not None:
        caller = _call_whose_first_argument_is(current)
        if caller is not None and caller.id in catching:
            return True
        if _declared_name(judgement.module, current) in allowed:
            return True
        current = current.parent
    return False


def _call_whose_first_argument_is(node: Node) -> Node | None:
    call = node.parent.parent if node.parent is not None else None
    if call is None or call.type != "call_expression":
        return None
    arguments = arguments_of(call)
    is_function = unwrapped(node).type in FUNCTION_LITERALS
    return call if is_function and arguments and arguments[0] == node else None


def _declared_name(module: ParsedModule, node: Node) -> str | None:
    """Return `name` of a function or `Class.name` of a method declaration."""
    name = node.child_by_field_name("name")
    if name is None:
        return None
    if node.type == "method_definition":
        owner = node.parent.parent if node.parent is not None else None
        owner_name = None if owner is None else owner.child_by_field_name("name")
        return (
            None if owner_name is None else f"{module.text_of(owner_name)}.{module.text_of(name)}"
        )
    if node.type == "function_declaration":
        return module.text_of(name)
    value = node.child_by_field_name("value")
    is_function = value is not None and unwrapped(value).type in FUNCTION_LITERALS
    return module.text_of(name) if node.type == "variable_declarator" and is_function else None


def _unknown_category(judgement: Judgement) -> Iterator[Finding]:
    known = judgement.profile.conventions.error_categories
    for call in judgement.references.calls:
        node = _category_argument(judgement, call)
        value = None if node is None else string_value(judgement.module, node)
        if node is not None and value is not None and value not in known:
            yield node, {"name": value, "known": ", ".join(known)}


def _category_argument(judgement: Judgement, call: Call) -> Node | None:
    where = judgement.profile.conventions.category_arguments.get(call.name)
    arguments = arguments_of(call.node)
    if isinstance(where, int):
        return arguments[where] if where < len(arguments) else None
    if where is None or not arguments:
        return None
    for pair in unwrapped(arguments[0]).named_children:
        key = pair.child_by_field_name("key")
        if key is not None and judgement.module.text_of(key).strip("\"'") == where:
            return pair.child_by_field_name("value")
    return None


def _any_type(judgement: Judgement) -> Iterator[Finding]:
    for node in judgement.module.of_type("predefined_type"):
        if judgement.module.text_of(node) == "any":
            yield node, {}


_CHECKS: dict[str, Callable[[Judgement], Iterator[Finding]]] = {
    "R1": _tag_read,
    "R2": _payload_read,
    "R4": _method_style,
    "R5": _handler_object,
    "R7": _throw,
    "R9": _unknown_category,
    "R12": _any_type,
}
