"""What the rules need to know of an expression's type.

Flows in: spans of expressions, each with the roles it is asked in. Flows out: `TypeFacts`. A role
names a question, so that nothing is asked of a type that no rule wants to know. Which expressions
are worth asking about belongs to `evidence`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from qi_pipeline.library.profile import Conventions
from qi_pipeline.validation.questions import Questions, Span
from qi_pipeline.validation.references import LibraryFacts

_ANY, _UNKNOWN = 1 << 0, 1 << 1
_STRING_LITERAL = 1 << 10
_NEVER, _TYPE_PARAMETER = 1 << 18, 1 << 19
_OBJECT = 1 << 20
_UNION = 1 << 27
_PRIMITIVE = 0x00C1FFFC
"""TypeFlags from Undefined to Enum, TemplateLiteral and StringMapping."""
_CALL_SIGNATURE = 0
"""SignatureKind.Call"""

_Type = dict[str, Any]


class Role(Enum):
    """What is asked of an expression's type."""

    RESULT = auto()
    """Is it a Result?"""
    ERROR = auto()
    """Is it an error of the library, or an exception?"""
    FUNCTION = auto()
    """Can it be called, and does that give a promise?"""
    LITERAL = auto()
    """Which text is it?"""


@dataclass(frozen=True)
class TypeFacts:
    """The answers about one type; those of roles it was not asked in are False."""

    flags: int
    """TypeFlags"""
    literal: str | None
    """The text, if the type is that of one string."""
    is_result: bool
    is_library_error: bool
    is_exception: bool
    """It has the `stack` that JavaScript's exceptions have."""
    is_callable: bool
    returns_promise: bool

    @property
    def is_unknown(self) -> bool:
        """It may be anything."""
        return bool(self.flags & _UNKNOWN)

    @property
    def is_primitive(self) -> bool:
        """It is a text, a number, a truth value, null or undefined."""
        return bool(self.flags & _PRIMITIVE)

    @property
    def is_object(self) -> bool:
        """It is an object, no union of several."""
        return bool(self.flags & _OBJECT)

    @property
    def is_open(self) -> bool:
        """Nothing is known of it, or it is any, unknown, never or a type parameter."""
        return not self.flags or bool(self.flags & (_ANY | _UNKNOWN | _NEVER | _TYPE_PARAMETER))


Wanted = Mapping[Span, Collection[Role]]


def type_facts(
    questions: Questions,
    wanted: Mapping[str, Wanted],
    texts: Mapping[str, bytes],
    library: LibraryFacts,
    conventions: Conventions,
) -> dict[str, dict[Span, TypeFacts]]:
    """Return the facts about each expression's type, by file and span.

    `texts` are the files in UTF-16. Expressions without a type are absent.
    """
    types = questions.types(wanted, texts)
    asked: dict[Role, dict[int, _Type]] = {role: {} for role in Role}
    for file, by_span in types.items():
        for span, kind in by_span.items():
            for role in wanted[file][span]:
                asked[role][kind["id"]] = kind
    results = _with_member(
        questions, asked[Role.RESULT], conventions.tag_member, library.result_members
    )
    errors = _with_member(
        questions, asked[Role.ERROR], conventions.error_member, library.error_members
    )
    exceptions = _with_member(questions, asked[Role.ERROR], "stack", None)
    callable_types, promising = _functions(questions, asked[Role.FUNCTION])
    return {
        file: {
            span: TypeFacts(
                flags=kind["flags"],
                literal=_literal(kind),
                is_result=kind["id"] in results,
                is_library_error=kind["id"] in errors,
                is_exception=kind["id"] in exceptions,
                is_callable=kind["id"] in callable_types,
                returns_promise=kind["id"] in promising,
            )
            for span, kind in by_span.items()
        }
        for file, by_span in types.items()
    }


def _literal(kind: _Type) -> str | None:
    value = kind.get("value")
    return value if kind["flags"] & _STRING_LITERAL and isinstance(value, str) else None


def _with_member(
    questions: Questions, types: Mapping[int, _Type], name: str, members: frozenset[str] | None
) -> set[int]:
    """Return those types that have the member `name`; if `members` are given, one of those.

    What may be null or undefined counts as what it is otherwise.
    """
    having = _having(questions, types, name, members)
    optional = [
        number for number, kind in types.items() if kind["flags"] & _UNION and number not in having
    ]
    answers = questions.ask(("getNonNullableType", {"type": number}) for number in optional)
    present = {
        number: kind["id"]
        for number, kind in zip(optional, answers, strict=True)
        if kind and kind["id"] != number
    }
    found = _having(questions, set(present.values()), name, members)
    return having | {number for number, kind in present.items() if kind in found}


def _having(
    questions: Questions, types: Iterable[int], name: str, members: frozenset[str] | None
) -> set[int]:
    numbers = list(types)
    answers = questions.ask(("getPropertyOfType", {"type": kind, "name": name}) for kind in numbers)
    return {
        kind
        for kind, symbol in zip(numbers, answers, strict=True)
        if symbol and (members is None or not members.isdisjoint(symbol.get("declarations") or ()))
    }


def _functions(questions: Questions, types: Mapping[int, _Type]) -> tuple[set[int], set[int]]:
    """Return which types can be called, and which of those give a promise when called."""
    answers = questions.ask(
        ("getSignaturesOfType", {"type": kind, "kind": _CALL_SIGNATURE}) for kind in types
    )
    signatures = {
        kind: [signature["id"] for signature in answer or []]
        for kind, answer in zip(types, answers, strict=True)
    }
    flat = [(kind, signature) for kind, found in signatures.items() for signature in found]
    returned = questions.ask(
        ("getReturnTypeOfSignature", {"signature": signature}) for _, signature in flat
    )
    by_function = [
        (kind, answer["id"]) for (kind, _), answer in zip(flat, returned, strict=True) if answer
    ]
    promises = _having(questions, {kind for _, kind in by_function}, "then", None)
    return (
        {kind for kind, found in signatures.items() if found},
        {kind for kind, answer in by_function if answer in promises},
    )
