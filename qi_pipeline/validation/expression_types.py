"""What the rules need to know of an expression's type.

Flows in: spans of expressions, each with the roles it is asked in. Flows out: `TypeFacts`. A role
names a question, so that nothing is asked of a type that no rule wants to know. Which expressions
are worth asking about belongs to `evidence`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from qi_pipeline.library.profile import Conventions
from qi_pipeline.validation.questions import Questions, Span
from qi_pipeline.validation.references import LibraryFacts
from qi_pipeline.validation.source_tree import parse_handle

_ANY, _UNKNOWN = 1 << 0, 1 << 1
_NOTHING = 1 << 2 | 1 << 3 | 1 << 4
"""Undefined, Null and Void"""
_STRING_LITERAL = 1 << 10
_NEVER, _TYPE_PARAMETER = 1 << 18, 1 << 19
_OBJECT = 1 << 20
_UNION, _INTERSECTION = 1 << 27, 1 << 28
_PRIMITIVE = 0x00C1FFFC
"""TypeFlags from Undefined to Enum, TemplateLiteral and StringMapping."""
_REFERENCE = 1 << 2
"""ObjectFlags.Reference: a generic type with its arguments; asked of anything else for those, the
compiler dies."""
_CALL_SIGNATURE = 0
"""SignatureKind.Call"""
_LITERAL_SYMBOL, _TYPE_SYMBOL = "__object", "__type"
"""What the compiler calls an object literal's type, and a type without a name."""
_LISTS = frozenset({"Array", "ReadonlyArray"})
_LIBRARY_FOLDER = "/@typescript/"
_BUNDLED = "bundled:"

_Type = dict[str, Any]


class Role(Enum):
    """What is asked of an expression's type."""

    RESULT = auto()
    """Is it a Result?"""
    ERROR = auto()
    """Which sorts of error may it be?"""
    CONTEXT = auto()
    """Which sorts of error, or of a Result's error, do the surroundings expect?"""
    FUNCTION = auto()
    """Can it be called, and does that give a promise?"""
    LITERAL = auto()
    """Which texts may it be?"""
    CAST = auto()
    """Has it members that a Result's variants are told by?"""


class Sort(Enum):
    """What a thing that stands where an error is expected may be."""

    LIBRARY_ERROR = auto()
    EXCEPTION = auto()
    """It has the `stack` that JavaScript's exceptions have."""
    NOTHING = auto()
    """null or undefined"""
    PRIMITIVE = auto()
    """A text, a number or a truth value."""
    FUNCTION = auto()
    BUILT_IN = auto()
    """An object of one of the language's own types, such as a Date."""
    LITERAL = auto()
    """An object whose type nobody declared."""
    DECLARED = auto()
    """An object of a type that somebody declared."""
    OPEN = auto()
    """It may be anything."""


@dataclass(frozen=True)
class Part:
    """A part of what an expression gives: the member of each name, of None each element."""

    source: Span
    steps: tuple[str | None, ...]


@dataclass
class Wanted:
    """What is asked about one file's expressions."""

    roles: dict[Span, set[Role]] = field(default_factory=dict)
    parts: dict[Span, Part] = field(default_factory=dict)
    """A place to what stands for it; asked whether that is a Result."""
    casts: dict[Span, Span] = field(default_factory=dict)
    """A cast to the value that is cast."""


@dataclass(frozen=True)
class TypeFacts:
    """The answers about one type; those of roles it was not asked in are False."""

    flags: int = 0
    """TypeFlags"""
    literals: tuple[str, ...] = ()
    """The texts, if the type is that of one string or a choice between several."""
    is_result: bool = False
    sorts: frozenset[Sort] = frozenset()
    """What each type of a choice is, where an error is expected."""
    expected: frozenset[Sort] = frozenset()
    """The same of the type that the surroundings expect."""
    is_callable: bool = False
    returns_promise: bool = False
    has_own_member: bool = False
    """It has a member that Results have too."""
    is_wider: bool = False
    """What is cast to it may be used as it without any cast."""

    @property
    def is_unknown(self) -> bool:
        """It may be anything."""
        return bool(self.flags & _UNKNOWN)

    @property
    def is_object(self) -> bool:
        """It is an object, no union of several."""
        return bool(self.flags & _OBJECT)

    @property
    def is_open(self) -> bool:
        """Nothing is known of it, or it is any, unknown, never or a type parameter."""
        return not self.flags or bool(self.flags & (_ANY | _UNKNOWN | _NEVER | _TYPE_PARAMETER))


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
    sources = {
        file: {*found.roles, *(part.source for part in found.parts.values())}
        for file, found in wanted.items()
    }
    types = questions.types(sources, texts)
    parts = _parts(questions, wanted, types)
    asked: dict[Role, dict[int, _Type]] = {role: {} for role in Role}
    for file, found in wanted.items():
        for span, roles in found.roles.items():
            for role in roles if span in types.get(file, {}) else ():
                asked[role][types[file][span]["id"]] = types[file][span]
        for kind in parts.get(file, {}).values():
            asked[Role.RESULT][kind["id"]] = kind
    results = _results(questions, asked[Role.RESULT], library, conventions)
    contexts = _contexts(questions, wanted, texts)
    expected = _error_types(questions, contexts, library, conventions)
    sorts = _Sorter(questions, library, conventions).sorts(
        [*asked[Role.ERROR].values(), *(kind for kinds in expected.values() for kind in kinds)]
    )
    callable_types, promising = _functions(questions, asked[Role.FUNCTION])
    literals = _literals(questions, asked[Role.LITERAL])
    own = _with_own_member(questions, asked[Role.CAST], conventions)
    wider = _wider(questions, wanted, types)
    return {
        file: {
            span: TypeFacts(
                flags=kind["flags"],
                literals=literals.get(kind["id"], ()),
                is_result=kind["id"] in results,
                sorts=sorts.get(kind["id"], frozenset()),
                expected=frozenset(
                    sort
                    for one in expected.get((file, span), ())
                    for sort in sorts.get(one["id"], frozenset())
                ),
                is_callable=kind["id"] in callable_types,
                returns_promise=kind["id"] in promising,
                has_own_member=kind["id"] in own,
                is_wider=(file, span) in wider,
            )
            for span, kind in {**by_span, **parts.get(file, {})}.items()
        }
        for file, by_span in types.items()
    }


def _parts(
    questions: Questions,
    wanted: Mapping[str, Wanted],
    types: Mapping[str, Mapping[Span, _Type]],
) -> dict[str, dict[Span, _Type]]:
    """Return the type of each part, by file and the span it stands for."""
    reached: dict[tuple[str, Span], tuple[_Type, tuple[str | None, ...]]] = {
        (file, span): (types[file][part.source], part.steps)
        for file, found in wanted.items()
        for span, part in found.parts.items()
        if part.source in types.get(file, {})
    }
    parts: dict[str, dict[Span, _Type]] = {}
    while reached:
        for (file, span), (kind, steps) in reached.items():
            if not steps:
                parts.setdefault(file, {})[span] = kind
        ahead = {place: found for place, found in reached.items() if found[1]}
        members = {place: found for place, found in ahead.items() if found[1][0] is not None}
        elements = {place: found for place, found in ahead.items() if found[1][0] is None}
        reached = {
            place: (kind, ahead[place][1][1:])
            for place, kind in (
                *zip(members, _member_types(questions, members.values()), strict=True),
                *zip(elements, _element_types(questions, elements.values()), strict=True),
            )
            if kind
        }
    return parts


def _member_types(
    questions: Questions, reached: Iterable[tuple[_Type, tuple[str | None, ...]]]
) -> list[_Type | None]:
    symbols = questions.ask(
        ("getPropertyOfType", {"type": kind["id"], "name": steps[0]}) for kind, steps in reached
    )
    types = iter(
        questions.ask(("getTypeOfSymbol", {"symbol": one["id"]}) for one in symbols if one)
    )
    return [next(types) if symbol else None for symbol in symbols]


def _element_types(
    questions: Questions, reached: Iterable[tuple[_Type, tuple[str | None, ...]]]
) -> list[_Type | None]:
    answers = questions.ask(("getIndexInfosOfType", {"type": kind["id"]}) for kind, _ in reached)
    return [next((one["valueType"] for one in answer or []), None) for answer in answers]


def _contexts(
    questions: Questions, wanted: Mapping[str, Wanted], texts: Mapping[str, bytes]
) -> dict[tuple[str, Span], _Type]:
    spans = {
        file: [span for span, roles in found.roles.items() if Role.CONTEXT in roles]
        for file, found in wanted.items()
    }
    found = questions.contexts(spans, texts)
    return {(file, span): kind for file, by_span in found.items() for span, kind in by_span.items()}


def _error_types(
    questions: Questions,
    contexts: Mapping[tuple[str, Span], _Type],
    library: LibraryFacts,
    conventions: Conventions,
) -> dict[tuple[str, Span], list[_Type]]:
    """Return the type that each context expects of an error; of a Result, that of its error."""
    constituents = _constituents(questions, contexts.values())
    promises = _promises(questions, constituents)
    promised = _promised(questions, promises)
    kinds = {one["id"] for found in constituents.values() for one in found}
    kinds |= {one["id"] for found in promised.values() for one in found}
    # The last of them is what a failed Result holds.
    symbols = dict(
        zip(
            kinds,
            questions.ask(
                ("getPropertyOfType", {"type": kind, "name": conventions.payload_members[-1]})
                for kind in kinds
            ),
            strict=True,
        )
    )
    held = {
        kind: symbol["id"]
        for kind, symbol in symbols.items()
        if symbol and not library.result_members.isdisjoint(symbol.get("declarations") or ())
    }
    answers = questions.ask(("getTypeOfSymbol", {"symbol": symbol}) for symbol in held.values())
    errors = dict(zip(held, answers, strict=True))
    expected = {}
    for place, kind in contexts.items():
        found = constituents[kind["id"]]
        held_in = [*found, *(one for outer in found for one in promised.get(outer["id"], ()))]
        of_results = [errors[one["id"]] for one in held_in if errors.get(one["id"])]
        is_promise = any(one["id"] in promises for one in found)
        # A promise of anything else says nothing of an error.
        expected[place] = of_results or ([] if is_promise else [kind])
    return expected


def _constituents(questions: Questions, types: Iterable[_Type]) -> dict[int, list[_Type]]:
    """Return the types that a choice is made between; of anything else, itself."""
    kinds = {kind["id"]: kind for kind in types}
    unions = [number for number, kind in kinds.items() if kind["flags"] & _UNION]
    answers = questions.ask(("getTypesOfType", {"objectId": number}) for number in unions)
    split = dict(zip(unions, answers, strict=True))
    return {number: split.get(number) or [kind] for number, kind in kinds.items()}


def _promises(
    questions: Questions, constituents: Mapping[int, Sequence[_Type]]
) -> dict[int, _Type]:
    """Return those of the types that can be waited for, by their id."""
    kinds = {one["id"]: one for found in constituents.values() for one in found}
    return {number: kinds[number] for number in _having(questions, kinds, "then", None)}


def _promised(questions: Questions, promises: Mapping[int, _Type]) -> dict[int, list[_Type]]:
    """Return the types that a choice is made between in what each generic promise promises."""
    generic = [
        number for number, kind in promises.items() if kind.get("objectFlags", 0) & _REFERENCE
    ]
    answers = questions.ask(("getTypeArguments", {"type": number}) for number in generic)
    given = {number: answer[0] for number, answer in zip(generic, answers, strict=True) if answer}
    inner = _constituents(questions, given.values())
    return {number: inner[kind["id"]] for number, kind in given.items()}


@dataclass(frozen=True)
class _Sorter:
    """Says what types are, where an error is expected."""

    questions: Questions
    library: LibraryFacts
    conventions: Conventions

    def sorts(self, types: Iterable[_Type]) -> dict[int, frozenset[Sort]]:
        """Return type id to the sorts that the type's constituents are of."""
        constituents = _constituents(self.questions, types)
        kinds = {one["id"]: one for found in constituents.values() for one in found}
        errors = _having(
            self.questions, kinds, self.conventions.error_member, self.library.error_members
        )
        exceptions = _having(self.questions, kinds.keys() - errors, "stack", None)
        functions, _ = _functions(self.questions, kinds)
        named = [number for number, kind in kinds.items() if kind.get("symbol")]
        answers = self.questions.ask(("getSymbolOfType", {"objectId": number}) for number in named)
        symbols = dict(zip(named, answers, strict=True))

        def sort_of(kind: _Type) -> Sort:
            number = kind["id"]
            found = (
                (number in errors, Sort.LIBRARY_ERROR),
                (number in exceptions, Sort.EXCEPTION),
                (kind["flags"] & _NOTHING, Sort.NOTHING),
                (kind["flags"] & _PRIMITIVE, Sort.PRIMITIVE),
                (number in functions, Sort.FUNCTION),
                (kind["flags"] & _INTERSECTION, Sort.DECLARED),
                (kind["flags"] & _OBJECT, _sort_of_symbol(symbols.get(number))),
            )
            return next((sort for is_it, sort in found if is_it), Sort.OPEN)

        return {
            number: frozenset(sort_of(kind) for kind in found)
            for number, found in constituents.items()
        }


def _sort_of_symbol(symbol: dict[str, Any] | None) -> Sort:
    """Return what an object is whose type has this symbol."""
    if symbol is None or symbol["name"] == _LITERAL_SYMBOL:
        return Sort.LITERAL
    paths = [parse_handle(handle)[1] for handle in symbol.get("declarations") or ()]
    is_own = bool(paths) and all(
        path.startswith(_BUNDLED) or _LIBRARY_FOLDER in path for path in paths
    )
    # `Partial<T>` is declared by the language, and means somebody's T.
    is_generic = symbol["name"] == _TYPE_SYMBOL or symbol["name"] in _LISTS
    return Sort.BUILT_IN if is_own and not is_generic else Sort.DECLARED


def _literals(questions: Questions, types: Mapping[int, _Type]) -> dict[int, tuple[str, ...]]:
    found = {}
    for number, constituents in _constituents(questions, types.values()).items():
        values = [kind.get("value") for kind in constituents if kind["flags"] & _STRING_LITERAL]
        texts = tuple(value for value in values if isinstance(value, str))
        if len(texts) == len(constituents):
            found[number] = texts
    return found


def _with_own_member(
    questions: Questions, types: Mapping[int, _Type], conventions: Conventions
) -> set[int]:
    names = (conventions.tag_member, *conventions.payload_members)
    return {number for name in names for number in _having(questions, types, name, None)}


def _wider(
    questions: Questions,
    wanted: Mapping[str, Wanted],
    types: Mapping[str, Mapping[Span, _Type]],
) -> set[tuple[str, Span]]:
    """Return the casts to a type that the value has anyway."""
    pairs = [
        (file, cast, types[file][value]["id"], types[file][cast]["id"])
        for file, found in wanted.items()
        for cast, value in found.casts.items()
        if cast in types.get(file, {}) and value in types[file]
    ]
    answers = questions.ask(
        ("isTypeAssignableTo", {"source": source, "target": target}) for *_, source, target in pairs
    )
    return {
        (file, cast) for (file, cast, *_), is_wider in zip(pairs, answers, strict=True) if is_wider
    }


def _results(
    questions: Questions,
    types: Mapping[int, _Type],
    library: LibraryFacts,
    conventions: Conventions,
) -> set[int]:
    """Return those types that are Results.

    What may be null or undefined counts as what it is otherwise.
    """
    name, members = conventions.tag_member, library.result_members
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
    """Return those types that have the member `name`; if `members` are given, one of those."""
    numbers = list(types)
    answers = questions.ask(("getPropertyOfType", {"type": kind, "name": name}) for kind in numbers)
    return {
        kind
        for kind, symbol in zip(numbers, answers, strict=True)
        if symbol and (members is None or not members.isdisjoint(symbol.get("declarations") or ()))
    }


def _functions(questions: Questions, types: Mapping[int, _Type]) -> tuple[set[int], set[int]]:
    """Return which types can be called, and which of those may give a promise when called."""
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
    constituents = _constituents(questions, (answer for answer in returned if answer))
    promises = _having(
        questions, {one["id"] for found in constituents.values() for one in found}, "then", None
    )
    return (
        {kind for kind, found in signatures.items() if found},
        {
            kind
            for (kind, _), answer in zip(flat, returned, strict=True)
            if answer and any(one["id"] in promises for one in constituents[answer["id"]])
        },
    )
