"""Where the library catches what is thrown (R7).

Flows in: `Evidence`. Flows out: for a `throw`, whether it can only happen inside a function that
one of the library's catching functions calls, directly or through functions of the module.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import takewhile

from tree_sitter import Node

from qi_pipeline.validation.evidence import Evidence
from qi_pipeline.validation.syntax import (
    FUNCTION_LITERALS,
    arguments_of,
    around,
    function_around,
    is_async,
    is_exported,
    is_generator,
    is_wrapper,
    named_functions,
    span_of,
)

_CALLING_AT_ONCE = frozenset(
    {"map", "flatMap", "filter", "forEach", "reduce", "reduceRight", "some", "every", "find"}
    | {"findIndex", "findLast", "findLastIndex", "sort", "toSorted"}
)
"""Methods of arrays: they call their function before they return."""

_GIVING_ALL = frozenset({"map", "flatMap"})
"""Those of them that give all that their function gave."""


class Reach(IntEnum):
    """How far the library's catching reaches into a function, least first."""

    NOT = 0
    WHILE_CALLED = 1
    """What is thrown before the function returns."""
    WHILE_WAITED_FOR = 2
    """What it returns is waited for, so it may be async."""


@dataclass(frozen=True)
class _Place:
    """Where a function is called, or handed to what calls it."""

    most: Reach
    """What catching can reach there at most."""
    around: Node | None = None
    """The function that the place lies in, if it depends on how that is called."""


_NOWHERE = _Place(Reach.NOT)


@dataclass(frozen=True)
class Catching:
    """Follows how the functions of one module are called."""

    evidence: Evidence

    def reaches(self, throw: Node) -> bool:
        """Tell whether the library catches what `throw` throws."""
        function = function_around(throw)
        return function is not None and bool(self._reach.get(function.id, Reach.NOT))

    @cached_property
    def _reach(self) -> dict[int, Reach]:
        """Function's node id to how far catching reaches into it, for those that may throw.

        Found by starting from the best and lowering what depends on something lower, so that
        functions may call each other in circles; a circle that nothing enters is not caught.
        """
        places, functions = self._graph
        reach = dict.fromkeys(places, Reach.WHILE_WAITED_FOR)
        inside: dict[int, set[int]] = {}
        for number, found in places.items():
            for place in found:
                if place.around is not None:
                    inside.setdefault(place.around.id, set()).add(number)
        pending = list(places)
        while pending:
            number = pending.pop()
            lower = _reach_of(functions[number], places[number], reach)
            if lower < reach[number]:
                reach[number] = lower
                pending.extend(inside.get(number, ()))
        entered = {
            number
            for number, found in places.items()
            if any(place.around is None for place in found)
        }
        pending = list(entered)
        while pending:
            called = inside.get(pending.pop(), set()) - entered
            entered |= called
            pending.extend(called)
        return {number: found for number, found in reach.items() if number in entered}

    @cached_property
    def _graph(self) -> tuple[dict[int, list[_Place]], dict[int, Node]]:
        """Function's node id to its places and to itself, for each that a throw depends on."""
        module = self.evidence.module
        throwing = (function_around(node) for node in module.of_type("throw_statement"))
        pending = [function for function in throwing if function is not None]
        places: dict[int, list[_Place]] = {}
        functions: dict[int, Node] = {}
        while pending:
            function = pending.pop()
            if function.id not in functions:
                functions[function.id] = function
                places[function.id] = list(self._places(function))
                pending.extend(
                    place.around for place in places[function.id] if place.around is not None
                )
        return places, functions

    def _places(self, function: Node) -> Iterator[_Place]:
        if function.type in FUNCTION_LITERALS and function.id not in self._names:
            yield self._at(function)
        for name in self._names.get(function.id, ()):
            for mention in self._mentions(name):
                yield self._at(mention)

    def _at(self, mention: Node) -> _Place:
        """Return what becomes of a function where it, or its name, stands."""
        node = mention
        outer = node.parent
        # `await f<T>(x)` is parsed as `(await f)<T>(x)`.
        while outer is not None and (is_wrapper(outer) or outer.type == "await_expression"):
            node, outer = outer, outer.parent
        if outer is None:
            return _NOWHERE
        if outer.type in {"call_expression", "new_expression"}:
            # `f()`, also where it is called as soon as it is made.
            return self._inside(outer, Reach.WHILE_WAITED_FOR)
        call = outer.parent if outer.type == "arguments" else None
        return _NOWHERE if call is None else self._passed(call, node)

    def _passed(self, call: Node, argument: Node) -> _Place:
        """Return what becomes of a function that is passed to `call`."""
        conventions = self.evidence.conventions
        known = self.evidence.references.call_of_node.get(call.id)
        name = "" if known is None else known.name
        if name in conventions.throwing_callbacks:
            return self._caught.get(argument.id, _NOWHERE)
        method = "" if known is None or known.member is None or name else known.member.name
        if method in _GIVING_ALL:
            # The promises of `list.map(async ...)` are there to be waited for together.
            return self._inside(call, Reach.WHILE_WAITED_FOR)
        if name in conventions.async_helpers or method in _CALLING_AT_ONCE:
            return self._inside(call, Reach.WHILE_CALLED)
        return _NOWHERE

    @cached_property
    def _caught(self) -> dict[int, _Place]:
        """Node id of what a catching function of the library calls."""
        conventions = self.evidence.conventions
        caught = {}
        for call in self.evidence.references.calls:
            if call.name in conventions.throwing_callbacks:
                is_waiting = call.name in conventions.waiting_callbacks
                most = Reach.WHILE_WAITED_FOR if is_waiting else Reach.WHILE_CALLED
                for argument in arguments_of(call.node)[:1]:
                    caught[argument.id] = _Place(most)
        return caught

    def _inside(self, node: Node, most: Reach) -> _Place:
        function = function_around(node)
        if function is not None and _is_in_field(node, function):
            # It runs when somebody makes an object of the class.
            return _NOWHERE
        return _NOWHERE if function is None else _Place(most, function)

    @cached_property
    def _names(self) -> dict[int, list[Node]]:
        """Function's node id to where its name is declared."""
        names: dict[int, list[Node]] = {}
        for function, name in named_functions(self.evidence.module):
            names.setdefault(function.id, []).append(name)
        return names

    @cached_property
    def _by_handle(self) -> dict[str, list[Node]]:
        """Declaration handle to the names that mean it."""
        found: dict[str, list[Node]] = {}
        for node in self.evidence.module.of_type("identifier"):
            for handle in self.evidence.references.symbols.get(span_of(node)[0], ()):
                found.setdefault(handle, []).append(node)
        return found

    def _mentions(self, name: Node) -> Iterator[Node]:
        """Yield where a function is mentioned by its name, other than in its declaration."""
        module = self.evidence.module
        mentions = {
            node.id: node
            for handle in self.evidence.references.symbols.get(span_of(name)[0], ())
            for node in self._by_handle.get(handle, ())
            if node.id != name.id
        }
        yield from module.shorthands.get(module.text_of(name), ())
        for node in mentions.values():
            parent = node.parent
            is_type = parent is not None and parent.type == "type_query"
            if not is_type:
                yield node
        if is_exported(module, name):
            # Whoever imports it calls it.
            yield name


def _is_in_field(node: Node, function: Node) -> bool:
    """Tell whether the first value of a class's field stands between a node and its function."""
    inside = takewhile(lambda outer: outer != function, around(node))
    return any(outer.type == "public_field_definition" for outer in inside)


def _reach_of(function: Node, places: list[_Place], reach: dict[int, Reach]) -> Reach:
    """Return how far catching reaches into `function`, given how far it reaches elsewhere."""
    reached = (
        place.most if place.around is None else min(place.most, reach[place.around.id])
        for place in places
    )
    lowest = min(reached, default=Reach.NOT)
    is_too_late = is_async(function) and lowest < Reach.WHILE_WAITED_FOR
    return Reach.NOT if is_generator(function) or is_too_late else lowest
