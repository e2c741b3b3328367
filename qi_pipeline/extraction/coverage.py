"""Which tests reach which symbols of the library, by resolved calls.

Flows in: what each file's extraction says it calls. Flows out: for a declaration, the test files
that reach it, directly or through other functions of the library. What a unit is does not belong
here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from qi_pipeline.extraction.exports import Declaration, LibraryExports


def declaration_key(file: str, name: str) -> str:
    """Return what a declaration of the library is called in the call graph."""
    return f"{file}#{name}"


class Coverage:
    """Answers which tests of one snapshot reach what."""

    def __init__(
        self,
        library: LibraryExports,
        reaches: Mapping[str, Iterable[str]],
        tests: Mapping[str, Iterable[str]],
    ) -> None:
        """Follow the calls.

        `reaches` maps a declaration of the library (see `declaration_key`) to what its code calls:
        exported symbols (`package:name`) and other declarations. `tests` maps each test file to the
        exported symbols that it calls.
        """
        self._declarations = {
            symbol.qualified: _key(symbol.declaration)
            for named in library.symbols.values()
            for symbol in named.values()
        }
        self._reaches = {key: tuple(map(self._node, targets)) for key, targets in reaches.items()}
        self._tests: defaultdict[str, set[str]] = defaultdict(set)
        for test, symbols in tests.items():
            for node in self._reached(map(self._node, symbols)):
                self._tests[node].add(test)

    def tests_of(self, targets: Sequence[str]) -> tuple[bool, tuple[str, ...]]:
        """Tell whether tests reach every target (symbol or declaration), and which reach any."""
        found = [self._tests.get(self._node(target), set()) for target in targets]
        return bool(found) and all(found), tuple(sorted(set().union(*found)))

    def reached_from(self, targets: Iterable[str]) -> frozenset[str]:
        """Return the declarations that these symbols or declarations lead to, their own included.

        For what takes a function without calling it, such as a table of test cases.
        """
        return frozenset(self._reached(map(self._node, targets)))

    def _node(self, target: str) -> str:
        return self._declarations.get(target, target)

    def _reached(self, start: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        pending = list(start)
        while pending:
            node = pending.pop()
            if node not in seen:
                seen.add(node)
                pending.extend(self._reaches.get(node, ()))
        return seen


def _key(declaration: Declaration) -> str:
    return declaration_key(declaration.file, declaration.name)
