"""What a rule may look at: one module's syntax, names and types.

Flows in: resolved references. Flows out: the expressions whose types must be asked for, and, once
they are answered, `Evidence` for the checks. What is a violation belongs to the rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Node

from qi_pipeline.library.profile import Conventions, Profile
from qi_pipeline.validation.expression_types import Part, Role, TypeFacts, Wanted
from qi_pipeline.validation.questions import Span
from qi_pipeline.validation.references import Call, References
from qi_pipeline.validation.syntax import (
    ASSERTIONS,
    FUNCTION_LITERALS,
    NO_OFFSET,
    Access,
    ParsedModule,
    arguments_of,
    around,
    called_text,
    is_wrapper,
    span_of,
    string_value,
    unwrapped,
    without_parentheses,
)

Finding = tuple[Node, dict[str, str]]
"""Where a rule is broken, and what its message says there."""

_LITERALS = frozenset(
    {"object", "array", "string", "template_string", "number", "true", "false", "null", "undefined"}
)
_NOTHING = TypeFacts()
_CHOICES = frozenset({"ternary_expression", "binary_expression"})
_TAKING_APART = frozenset({"assignment_expression", "for_in_statement"})
_PATTERN_PARENTS = _TAKING_APART | {
    "pair_pattern",
    "array_pattern",
    "object_pattern",
    "assignment_pattern",
    "object_assignment_pattern",
}


@dataclass(frozen=True)
class Cast:
    """`value as Type`, the outermost of several in a row."""

    node: Node
    value: Node
    """The expression without any cast."""


@dataclass(frozen=True)
class Evidence:
    """One module with the compiler's answers about it."""

    references: References
    types: Mapping[Span, TypeFacts]

    @property
    def module(self) -> ParsedModule:
        """The judged module."""
        return self.references.module

    @property
    def profile(self) -> Profile:
        """The library's profile."""
        return self.references.profile

    @property
    def conventions(self) -> Conventions:
        """The facts the rules speak of."""
        return self.profile.conventions

    def type_of(self, node: Node) -> TypeFacts:
        """Return what is known of an expression's type; nothing, if it was not asked for."""
        return self.types.get(span_of(node), _NOTHING)

    def text_value(self, node: Node) -> str | None:
        """Return the one text that an expression can be: a literal's, or a constant's by type."""
        values = self.text_values(node)
        return values[0] if len(values) == 1 else None

    def text_values(self, node: Node) -> tuple[str, ...]:
        """Return the texts that an expression can be; none, if it can be others."""
        value = string_value(self.module, node)
        return self.type_of(unwrapped(node)).literals if value is None else (value,)

    @cached_property
    def accesses(self) -> tuple[Access, ...]:
        """Every member access whose member is known: written out, or a constant's text."""
        computed = (
            Access(node, target, name, NO_OFFSET)
            for node, target, index in _computed_accesses(self.module)
            for name in self.text_values(index)
        )
        return (*self.module.accesses, *computed)

    def is_result_member(self, access: Access) -> bool:
        """Tell whether the accessed member is declared by one of the Result types."""
        handles = self.references.symbols.get(access.offset, frozenset())
        return not handles.isdisjoint(self.references.library.result_members)

    def is_missing_member_of_result(self, access: Access) -> bool:
        """Tell whether a Result is asked for a member that the compiler does not find there."""
        is_known = bool(self.references.symbols.get(access.offset))
        return not is_known and self.holds_result(access.target)

    def holds_result(self, node: Node) -> bool:
        """Tell whether an expression is a Result, whatever it is cast to."""
        return self.type_of(node).is_result or self.type_of(unwrapped(node)).is_result


def wanted_types(references: References) -> Wanted:
    """Return the expressions whose types the rules need, each with what they need to know."""
    module = references.module
    parts = {
        span_of(pattern): part
        for pattern in module.of_type("object_pattern")
        for part in [_assigned_part(module, pattern)]
        if part is not None
    }
    wanted = Wanted(
        parts=parts,
        casts={span_of(cast.node): span_of(cast.value) for cast in casts_of(module)},
    )
    for node, role in _wanted(references):
        if role != Role.RESULT or span_of(node) not in parts:
            wanted.roles.setdefault(span_of(node), set()).add(role)
    return wanted


def _wanted(references: References) -> Iterator[tuple[Node, Role]]:
    module = references.module
    for node in _targets_of_unknown_members(references):
        yield node, Role.RESULT
        yield unwrapped(node), Role.RESULT
    for _, target, index in _computed_accesses(module):
        yield target, Role.RESULT
        yield unwrapped(target), Role.RESULT
        yield index, Role.LITERAL
    for _, name, target in membership_tests(module):
        yield target, Role.RESULT
        yield unwrapped(target), Role.RESULT
        yield unwrapped(name), Role.LITERAL
    for _, source in destructurings(module):
        yield source, Role.RESULT
    for cast in casts_of(module):
        yield cast.value, Role.RESULT
        yield cast.node, Role.RESULT
        yield cast.node, Role.CAST
    for call in references.calls:
        if call.symbol is not None:
            yield from _wanted_of_call(references, call)


def _targets_of_unknown_members(references: References) -> Iterator[Node]:
    for access in references.module.accesses:
        if not references.symbols.get(access.offset):
            yield access.target


def _wanted_of_call(references: References, call: Call) -> Iterator[tuple[Node, Role]]:
    conventions = references.profile.conventions
    for argument in outer_arguments(conventions, call) or ():
        if unwrapped(argument).type not in FUNCTION_LITERALS:
            yield argument, Role.RESULT
    for argument in functions_before_result(conventions, call):
        yield unwrapped(argument), Role.FUNCTION
        yield unwrapped(argument), Role.RESULT
    for argument in errors_of(conventions, call):
        yield call.node, Role.CONTEXT
        yield unwrapped(argument), Role.CONTEXT
        promise = promise_of(references.module, call.node)
        if promise is not None:
            yield promise, Role.CONTEXT
        yield argument, Role.ERROR
        yield unwrapped(argument), Role.ERROR
        literal = references.object_behind(argument) or argument
        for spread in spreads_of(literal):
            yield spread, Role.ERROR
    category = category_argument(references, call)
    if category is not None and unwrapped(category).type not in _LITERALS:
        yield unwrapped(category), Role.LITERAL


def _computed_accesses(module: ParsedModule) -> Iterator[tuple[Node, Node, Node]]:
    """Yield each `object[index]` whose index is no literal: node, object, index."""
    for node in module.of_type("subscript_expression"):
        target = node.child_by_field_name("object")
        index = node.child_by_field_name("index")
        if target is not None and index is not None and string_value(module, index) is None:
            yield node, target, unwrapped(index)


def membership_tests(module: ParsedModule) -> Iterator[tuple[Node, Node, Node]]:
    """Yield each `name in object`: node, name, object."""
    for node in module.of_type("binary_expression"):
        operator, name = node.child_by_field_name("operator"), node.child_by_field_name("left")
        target = node.child_by_field_name("right")
        is_test = operator is not None and operator.type == "in"
        if is_test and name is not None and target is not None:
            yield node, name, target


def destructurings(module: ParsedModule) -> Iterator[tuple[Node, Node]]:
    """Yield each object pattern, with each node whose type is that of what is taken apart."""
    for pattern in module.of_type("object_pattern"):
        yield pattern, pattern
        parent = pattern.parent
        value = None if parent is None else parent.child_by_field_name("value")
        # With a type of its own the pattern's says nothing of what it is given.
        is_given = parent is not None and parent.child_by_field_name("type") is not None
        if value is not None and is_given:
            yield pattern, value


def _assigned_part(module: ParsedModule, pattern: Node) -> Part | None:
    """Return what a pattern that declares nothing takes apart; None for a declaration's."""
    steps: list[str | None] = []
    for node in around(pattern):
        parent = node.parent
        if parent is None or parent.type not in _PATTERN_PARENTS:
            break
        if parent.type == "pair_pattern":
            key = parent.child_by_field_name("key")
            if key is None or key.type == "computed_property_name":
                break
            steps.append(string_value(module, key) or module.text_of(key))
        elif parent.type in {"array_pattern", "for_in_statement"}:
            steps.append(None)
        if parent.type in _TAKING_APART:
            source = parent.child_by_field_name("right")
            is_declaration = parent.child_by_field_name("kind") is not None
            is_target = parent.child_by_field_name("left") == node
            if source is None or is_declaration or not is_target:
                break
            return Part(span_of(source), tuple(reversed(steps)))
    return None


def casts_of(module: ParsedModule) -> Iterator[Cast]:
    """Yield the casts of anything but a literal; `as const` and the like are none."""
    for node in module.of_type(*ASSERTIONS):
        value = unwrapped(node)
        if not _is_inside_cast(node) and value.type not in _LITERALS | FUNCTION_LITERALS:
            yield Cast(node, value)


def _is_inside_cast(node: Node) -> bool:
    parent = node.parent
    for outer in () if parent is None else around(parent):
        if not is_wrapper(outer):
            return False
        if outer.type in ASSERTIONS:
            return True
    return False


def outer_arguments(conventions: Conventions, call: Call) -> tuple[Node, Node] | None:
    """Return the first and last argument of a complete combinator call that may be turned round."""
    position = conventions.combinators.get(call.name)
    arguments = arguments_of(call.node)
    if position is None or len(arguments) != position + 1:
        return None
    if unwrapped(arguments[0]).type in FUNCTION_LITERALS:
        return None
    return arguments[0], arguments[-1]


def functions_before_result(conventions: Conventions, call: Call) -> tuple[Node, ...]:
    """Return the arguments that stand where a combinator that does not wait takes functions."""
    if call.name not in conventions.async_helpers and (
        call.name not in conventions.positional_handlers
    ):
        return ()
    return tuple(arguments_of(call.node)[: conventions.combinators.get(call.name, 0)])


def errors_of(conventions: Conventions, call: Call) -> Iterator[Node]:
    """Yield the expressions that a failed Result is made of, each branch of a choice for itself."""
    arguments = arguments_of(call.node)
    if call.name in conventions.failure_constructors and arguments:
        yield from _branches(arguments[0])


def promise_of(module: ParsedModule, value: Node) -> Node | None:
    """Return the `Promise.resolve(value)` that makes a promise of an expression.

    The value may be one branch of a choice.
    """
    arguments = value.parent
    while arguments is not None and (is_wrapper(arguments) or arguments.type in _CHOICES):
        arguments = arguments.parent
    call = None if arguments is None or arguments.type != "arguments" else arguments.parent
    is_made = call is not None and called_text(module, call) == "Promise.resolve"
    return call if is_made else None


def _branches(node: Node) -> Iterator[Node]:
    inner = unwrapped(node)
    operator = inner.child_by_field_name("operator")
    if inner.type == "ternary_expression":
        fields = ("consequence", "alternative")
    elif operator is not None and operator.type in {"??", "||", "&&"}:
        fields = ("left", "right")
    else:
        yield without_parentheses(node)
        return
    for field in fields:
        branch = inner.child_by_field_name(field)
        if branch is not None:
            yield from _branches(branch)


def spreads_of(node: Node) -> Iterator[Node]:
    """Yield what an object literal spreads."""
    literal = unwrapped(node)
    if literal.type == "object":
        for part in literal.named_children:
            if part.type == "spread_element" and part.named_children:
                yield part.named_children[0]


def category_argument(references: References, call: Call) -> Node | None:
    """Return the error category that a factory call is given."""
    where = references.profile.conventions.category_arguments.get(call.name)
    arguments = arguments_of(call.node)
    if isinstance(where, int):
        return arguments[where] if where < len(arguments) else None
    if where is None or not arguments:
        return None
    for pair in unwrapped(arguments[0]).named_children:
        key = pair.child_by_field_name("key")
        if key is not None and references.module.text_of(key).strip("\"'") == where:
            return pair.child_by_field_name("value")
    return None
