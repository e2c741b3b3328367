"""What is asked of the compiler about one state of the program, many files at a time.

Flows in: files, offsets and spans. Flows out: diagnostics, declaration handles and types, as the
API gives them. Every method sends all its requests before it waits for an answer. Which questions
are worth asking belongs to `evidence` and `references`; what a type's properties say, to
`expression_types`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.compiler import Compiler, Request
from qi_pipeline.validation.references import LibraryFacts
from qi_pipeline.validation.source_tree import SourceTree, parse_handle

_ALIAS = 1 << 21
"""SymbolFlags.Alias"""

Handles = frozenset[str]
Span = tuple[int, int]


@dataclass(frozen=True)
class Questions:
    """Asks about one snapshot of one project."""

    compiler: Compiler
    snapshot: int
    project: str
    timeout_s: float

    def diagnostics(self, method: str, files: Iterable[str]) -> list[list[dict[str, Any]]]:
        """Return the errors of each file; `method` is the API's, warnings are left out."""
        answers = self.ask((method, {"file": file}) for file in files)
        return [[item for item in answer or [] if item["category"] == 1] for answer in answers]

    def source_files(self) -> frozenset[str]:
        """Return the path of every file of the program."""
        (names,) = self.ask([("getSourceFileNames", {})])
        return frozenset(names)

    def symbols(self, offsets: Mapping[str, Iterable[int]]) -> dict[str, dict[int, Handles]]:
        """Return, for each file, offset to the declaration handles of the symbol there."""
        wanted = {file: sorted(set(found)) for file, found in offsets.items()}
        answers = self.ask(
            ("getSymbolsAtPositions", {"file": file, "positions": positions})
            for file, positions in wanted.items()
        )
        return {
            file: {
                offset: frozenset((symbol or {}).get("declarations") or ())
                for offset, symbol in zip(positions, answer or [], strict=True)
            }
            for (file, positions), answer in zip(wanted.items(), answers, strict=True)
        }

    def members(
        self, offsets: Mapping[str, Iterable[int]], library: LibraryFacts
    ) -> dict[str, dict[int, tuple[str, str, bool]]]:
        """Return, for each file, offset to the library member whose name stands there.

        A member is (`package:Owner`, name, whether it is static), where the owner is the exported
        class or interface that declares it; offsets of anything else are absent.
        """
        wanted = {file: sorted(set(found)) for file, found in offsets.items()}
        answers = self.ask(
            ("getSymbolsAtPositions", {"file": file, "positions": positions})
            for file, positions in wanted.items()
        )
        symbols = [symbol for answer in answers for symbol in answer or [] if symbol]
        owners = self._owners(symbols, library)
        static = self._static_members(owners)
        found: dict[str, dict[int, tuple[str, str, bool]]] = {}
        for (file, positions), answer in zip(wanted.items(), answers, strict=True):
            found[file] = {
                offset: (owners[symbol["parent"]][1], symbol["name"], is_static)
                for offset, symbol in zip(positions, answer or [], strict=True)
                if symbol and symbol.get("parent") in owners
                for is_static in [not static.isdisjoint(symbol.get("declarations") or ())]
            }
        return found

    def _owners(
        self, symbols: Iterable[dict[str, Any]], library: LibraryFacts
    ) -> dict[int, tuple[dict[str, Any], str]]:
        """Return parent id to (parent symbol, `package:name`) of those whose parent is exported."""
        child_of = {symbol["parent"]: symbol["id"] for symbol in symbols if symbol.get("parent")}
        answers = self.ask(
            ("getParentOfSymbol", {"objectId": child}) for child in child_of.values()
        )
        owners = {}
        for parent, symbol in zip(child_of, answers, strict=True):
            handles = (symbol or {}).get("declarations") or ()
            names = sorted(
                library.declared_handles[handle]
                for handle in handles
                if handle in library.declared_handles
            )
            if names:
                owners[parent] = (symbol, names[0])
        return owners

    def _static_members(self, owners: Mapping[int, tuple[dict[str, Any], str]]) -> Handles:
        answers = self.ask(
            ("getExportsOfSymbol", {"objectId": symbol["id"]}) for symbol, _ in owners.values()
        )
        return frozenset(
            handle
            for answer in answers
            for symbol in answer or []
            for handle in symbol.get("declarations") or ()
        )

    def meanings(self, offsets: Mapping[str, Iterable[int]]) -> dict[str, dict[int, Handles]]:
        """Return what `symbols` returns, of what an import stands for in the end."""
        wanted = {file: sorted(set(found)) for file, found in offsets.items()}
        answers = self.ask(
            ("getSymbolsAtPositions", {"file": file, "positions": positions})
            for file, positions in wanted.items()
        )
        found = [
            (file, offset, symbol)
            for (file, positions), answer in zip(wanted.items(), answers, strict=True)
            for offset, symbol in zip(positions, answer or [], strict=True)
            if symbol
        ]
        meant = self._aliased(symbol for _, _, symbol in found)
        meanings: dict[str, dict[int, Handles]] = {file: {} for file in wanted}
        for (file, offset, _), symbol in zip(found, meant, strict=True):
            meanings[file][offset] = frozenset((symbol or {}).get("declarations") or ())
        return meanings

    def types(
        self, spans: Mapping[str, Iterable[Span]], texts: Mapping[str, bytes]
    ) -> dict[str, dict[Span, dict[str, Any]]]:
        """Return the API's answer on the type of each expression, by file and span.

        `texts` are the files in UTF-16. Spans that no node of the compiler's tree covers are left
        out.
        """
        wanted = {file: list(dict.fromkeys(found)) for file, found in spans.items()}
        wanted = {file: found for file, found in wanted.items() if found}
        located = self._locations(wanted, texts)
        answers = self.ask(
            ("getTypeAtLocations", {"locations": list(handles.values())})
            for handles in located.values()
        )
        return {
            file: {span: kind for span, kind in zip(handles, answer or [], strict=True) if kind}
            for (file, handles), answer in zip(located.items(), answers, strict=True)
        }

    def contexts(
        self, spans: Mapping[str, Iterable[Span]], texts: Mapping[str, bytes]
    ) -> dict[str, dict[Span, dict[str, Any]]]:
        """Return, as `types` does, the type that an expression's surroundings expect of it."""
        wanted = {file: list(dict.fromkeys(found)) for file, found in spans.items()}
        located = self._locations({file: found for file, found in wanted.items() if found}, texts)
        flat = [
            (file, span, handle)
            for file, handles in located.items()
            for span, handle in handles.items()
        ]
        answers = self.ask(("getContextualType", {"location": handle}) for *_, handle in flat)
        found: dict[str, dict[Span, dict[str, Any]]] = {}
        for (file, span, _), answer in zip(flat, answers, strict=True):
            if answer:
                found.setdefault(file, {})[span] = answer
        return found

    def _locations(
        self, spans: Mapping[str, list[Span]], texts: Mapping[str, bytes]
    ) -> dict[str, dict[Span, str]]:
        return {
            file: tree.handles_of(texts[file], found)
            for tree, (file, found) in zip(self._trees(spans), spans.items(), strict=True)
        }

    def _trees(self, files: Iterable[str]) -> list[SourceTree]:
        names = list(files)
        answers = self.ask(("getSourceFile", {"file": file}) for file in names)
        return [
            SourceTree.decode(file, answer["data"])
            for file, answer in zip(names, answers, strict=True)
        ]

    def library_facts(
        self, file: str, offsets: Mapping[str, int], profile: Profile
    ) -> LibraryFacts:
        """Return what the library exports, read from the file that imports every package.

        `offsets` are those of each package's namespace name in `file`. Raises QiPipelineError when
        a package exports nothing or none exports a Result type.
        """
        (namespaces,) = self.ask(
            [("getSymbolsAtPositions", {"file": file, "positions": list(offsets.values())})]
        )
        modules = self._aliased(namespaces)
        answers = self.ask(("getExportsOfModule", {"symbol": module["id"]}) for module in modules)
        exports = {name: answer or [] for name, answer in zip(offsets, answers, strict=True)}
        for name, found in exports.items():
            if not found:
                raise QiPipelineError(
                    f"package {name} exports nothing; its entry file does not parse or is empty; "
                    "choose another revision"
                )
        return LibraryFacts(
            exports={
                name: frozenset(symbol["name"] for symbol in found)
                for name, found in exports.items()
            },
            export_handles={
                handle: f"{name}:{symbol['name']}"
                for name, found in exports.items()
                for symbol in found
                for handle in symbol.get("declarations") or ()
            },
            declared_handles=self._declared_handles(exports),
            result_members=self._result_members(exports, profile),
            error_members=self._members_of(exports, profile.conventions.error_types),
        )

    def _declared_handles(self, exports: Mapping[str, list[dict[str, Any]]]) -> dict[str, str]:
        """Return the handle of what each export stands for in the end to `package:name`.

        Of several names for one declaration the first package's, and there the declared one, wins.
        """
        named = [
            (f"{package}:{symbol['name']}", symbol)
            for package, found in reversed(list(exports.items()))
            for symbol in found
        ]
        meant = self._aliased(symbol for _, symbol in named)
        ranked = sorted(
            zip(named, meant, strict=True),
            key=lambda pair: pair[0][1]["name"] == pair[1]["name"],
        )
        return {
            handle: qualified
            for (qualified, _), symbol in ranked
            for handle in symbol.get("declarations") or ()
        }

    def _result_members(
        self, exports: Mapping[str, list[dict[str, Any]]], profile: Profile
    ) -> Handles:
        names = profile.conventions.result_types
        members = self._members_of(exports, names)
        if not members:
            raise QiPipelineError(
                f"the library exports none of the types {', '.join(names)} with members of its "
                "own, so no rule about a Result could ever fire; set `conventions.result_types` "
                "in the profile or choose another revision"
            )
        return members

    def _members_of(
        self, exports: Mapping[str, list[dict[str, Any]]], names: Collection[str]
    ) -> Handles:
        """Return the handles of the members that the exported types of those names have."""
        types = [
            symbol for found in exports.values() for symbol in found if symbol["name"] in names
        ]
        declared = [
            parse_handle(handle)
            for symbol in self._aliased(types)
            for handle in symbol.get("declarations") or ()
        ]
        files = sorted({path for _, path in declared})
        trees = dict(zip(files, self._trees(files), strict=True))
        return frozenset(
            member for index, path in declared for member in trees[path].members_of(index)
        )

    def _aliased(self, symbols: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what each symbol stands for in the end; one that is no alias stands for itself."""
        given = list(symbols)
        aliases = [symbol for symbol in given if symbol["flags"] & _ALIAS]
        answers = self.ask(("getAliasedSymbol", {"symbol": symbol["id"]}) for symbol in aliases)
        meant = {alias["id"]: answer for alias, answer in zip(aliases, answers, strict=True)}
        return [meant.get(symbol["id"], symbol) for symbol in given]

    def ask(self, requests: Iterable[Request]) -> list[Any]:
        """Return the API's answers to `requests` about this snapshot, in order."""
        common = {"snapshot": self.snapshot, "project": self.project}
        return self.compiler.ask(
            [(method, {**common, **parameters}) for method, parameters in requests],
            self.timeout_s,
        )
