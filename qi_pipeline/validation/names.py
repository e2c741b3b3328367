"""What names mean to those who use a library, read from the library's own sources.

Flows in: the prepared library. Flows out: `LibraryNames`: which package exports a name, how the
library itself imports a name from elsewhere, and which types it gives its parameters. Nothing here
is a guess: a name with two meanings has none. What is done with a name belongs to `repair` and
`staleness`.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Node

from qi_pipeline.extraction.exports import (
    Import,
    LibraryExports,
    Symbol,
    declared_names,
    read_imports,
    read_modules,
)
from qi_pipeline.extraction.syntax import Module, captures, text_of, walk
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.workspace import LibraryWorkspace


@dataclass(frozen=True)
class ParameterType:
    """The type that the library gives a parameter, and what a module needs to write it."""

    text: str
    generics: tuple[str, ...] = ()
    """Type parameters of the function that the type mentions, each with its constraint."""
    imports: tuple[str, ...] = ()
    """Exported types that the type mentions."""


class LibraryNames:
    """Answers what a name would mean in a module that uses the library."""

    def __init__(self, library: LibraryWorkspace, profile: Profile) -> None:
        """Read the sources of `library`."""
        root = library.root
        paths = sorted(path for path in root.rglob("*.ts") if "node_modules" not in path.parts)
        self.profile = profile
        self.library = LibraryExports(
            read_modules(
                {
                    path.relative_to(root).as_posix(): path.read_text("utf-8", errors="replace")
                    for path in paths
                }
            ),
            profile,
        )

    @cached_property
    def exports(self) -> Mapping[str, tuple[Symbol, ...]]:
        """Exported name to the symbols of that name, in the order of the profile's packages."""
        found: dict[str, tuple[Symbol, ...]] = {}
        for package in self.profile.packages:
            for name, symbol in self.library.symbols.get(package.name, {}).items():
                found[name] = (*found.get(name, ()), symbol)
        return found

    def specifier_of(self, symbol: Symbol) -> str:
        """Return the import path of the symbol's package."""
        packages = {package.name: package for package in self.profile.packages}
        return packages[symbol.package].specifiers[0]

    def is_library(self, specifier: str) -> bool:
        """Tell whether an import path means the library or would have."""
        return (
            self.profile.package_of_specifier(specifier) is not None
            or specifier in self.profile.umbrella.specifiers
        )

    def is_same_package(self, specifier: str, other: str) -> bool:
        """Tell whether two import paths mean one module."""
        package = self.profile.package_of_specifier(specifier)
        return specifier == other or (
            package is not None and {specifier, other} <= set(package.specifiers)
        )

    def is_removed(self, name: str) -> bool:
        """Tell whether the library has or had a thing of this name that it does not export.

        It is one when the profile lists it, or when a file of a package still exports it for the
        package's own use.
        """
        return name not in self.exports and (name in self._listed or name in self._inner)

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(symbol.rpartition(":")[2] for symbol in self.profile.type_of_symbol)

    @cached_property
    def _inner(self) -> frozenset[str]:
        """Names that files of the packages export to each other."""
        return frozenset(
            name for path in self._package_files() for name in self.library.exports_of(path)
        )

    def _package_files(self) -> Iterator[str]:
        folders = [entry.rpartition("/")[0] for entry in self.library.entries.values()]
        for path in self.library.modules:
            if any(path.startswith(f"{folder}/") for folder in folders):
                yield path

    def symbol_beside(self, specifier: str, name: str, source_file: str | None) -> Symbol | None:
        """Return the export that a relative import means when it leads to a file of the library.

        What no file of the repository writes (`source_file` is None) leads nowhere: there the path
        must end as one file does that exports the name. A barrel's name says nothing.
        """
        if source_file is not None:
            declaration = self.library.declaration_of(specifier, source_file, name)
            return None if declaration is None else self.library.symbol_of(declaration)
        parts = [part for part in specifier.split("/") if part not in (".", "..")]
        stem = posixpath.join(*parts).removesuffix(".js").removesuffix(".ts") if parts else ""
        if posixpath.basename(stem) in ("", "index"):
            return None
        found = {
            symbol
            for path in self._package_files()
            if path.endswith((f"/{stem}.ts", f"/{stem}/index.ts"))
            and (declaration := self.library.exports_of(path).get(name)) is not None
            and (symbol := self.library.symbol_of(declaration)) is not None
        }
        return found.pop() if len(found) == 1 else None

    def imported_symbol(self, item: Import) -> Symbol | None:
        """Return the export that an import from one of the library's packages brings in."""
        if not self.is_library(item.specifier):
            return None
        return self.library.exports_of_specifier(item.specifier, "").get(item.imported)

    @cached_property
    def foreign_imports(self) -> Mapping[str, Import]:
        """Name to the import from elsewhere by which the packages' own files have it.

        Relative imports and the library's packages are left out, and so are names that two files
        import differently.
        """
        found: dict[str, dict[tuple[str, str], Import]] = {}
        for path in self._package_files():
            for item in read_imports(self.library.modules[path]):
                if not item.specifier.startswith(".") and not self.is_library(item.specifier):
                    known = found.setdefault(item.local, {})
                    key = (item.specifier, item.imported)
                    if key not in known or not item.type_only:
                        known[key] = item
        return {
            name: next(iter(items.values())) for name, items in found.items() if len(items) == 1
        }

    def parameter(self, symbol: Symbol, position: int) -> ParameterType | None:
        """Return the type of one parameter of an exported function; None when it is unclear."""
        parameters = self._parameters(symbol)
        if parameters is None or position >= len(parameters):
            return None
        return parameters[position][1]

    @cached_property
    def conventional(self) -> Mapping[str, ParameterType]:
        """Parameter name to the type that every exported function gives a parameter of that name.

        Only types that are exported as they stand: `logger` is a `Logger`.
        """
        found: dict[str, set[ParameterType | None]] = {}
        for symbols in self.exports.values():
            for symbol in symbols:
                for name, kind in self._parameters(symbol) or ():
                    found.setdefault(name, set()).add(kind)
        return {
            name: kind
            for name, kinds in found.items()
            if len(kinds) == 1 and (kind := next(iter(kinds))) and kind.text in kind.imports
        }

    def _parameters(self, symbol: Symbol) -> list[tuple[str, ParameterType | None]] | None:
        """Return the parameters of a function that is declared once, else None."""
        declaration = symbol.declaration
        module = self.library.modules[declaration.file]
        nodes = [
            node
            for statement in module.root.named_children
            for name, kind, node in declared_names(statement)
            if name == declaration.name and kind == "function"
        ]
        if len(nodes) != 1:
            return None
        function = nodes[0].child_by_field_name("value") or nodes[0]
        parameters = function.child_by_field_name("parameters")
        if parameters is None:
            return None
        generics = _generics(function)
        return [
            (text_of(name), self._type_of(parameter, generics, declaration.file, module))
            for parameter in parameters.named_children
            if (name := parameter.child_by_field_name("pattern")) is not None
        ]

    def _type_of(
        self, parameter: Node, generics: Mapping[str, str], file: str, module: Module
    ) -> ParameterType | None:
        annotation = parameter.child_by_field_name("type")
        if annotation is None or parameter.type != "required_parameter":
            return None
        used, imports = [], []
        here = {item.local for item in read_imports(module)} | set(self.library.declared_in(file))
        for node in walk(annotation):
            if node.type not in ("type_identifier", "identifier"):
                continue
            name = text_of(node)
            if name in generics:
                used.append(name)
            elif name in self.exports:
                imports.append(name)
            elif name in here:
                return None
        constrained = tuple(generics[name] for name in generics if name in used)
        text = text_of(annotation).removeprefix(":").strip()
        return ParameterType(text, constrained, tuple(dict.fromkeys(imports)))


def _generics(function: Node) -> dict[str, str]:
    """Return type parameter to its text, constraint and default included."""
    parameters = function.child_by_field_name("type_parameters")
    if parameters is None:
        return {}
    found = captures("(type_parameter name: (type_identifier) @name)", parameters)
    return {text_of(name): text_of(name.parent) for name in found.get("name", []) if name.parent}
