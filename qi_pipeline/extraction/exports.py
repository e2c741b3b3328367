"""What the library exports, read from its own barrels.

Flows in: the snapshot's implementation files. Flows out: `LibraryExports`, which answers what a
name imported from a given path means. Calls do not belong here.
"""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from tree_sitter import Node

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.scopes import Occurrences, bound_identifiers
from qi_pipeline.extraction.syntax import Module, parse_module, string_value, text_of
from qi_pipeline.library.profile import Package, Profile, matches_glob

DeclarationKind = Literal["function", "class", "value", "type"]


class Declaration(NamedTuple):
    """One top-level declaration of the snapshot, by file and declared name."""

    file: str
    name: str
    kind: DeclarationKind


class Symbol(NamedTuple):
    """One exported symbol of the library."""

    package: str
    name: str
    declaration: Declaration

    @property
    def qualified(self) -> str:
        """`package:name`."""
        return f"{self.package}:{self.name}"


@dataclass(frozen=True)
class _ReExport:
    """`export { imported as name } from "path"`; `name` is None for `export * from`.

    `export * as name` imports `*`.
    """

    specifier: str
    imported: str
    name: str | None


@dataclass(frozen=True)
class ImportedName:
    """One local name that an import binds."""

    local: str
    imported: str
    """Exported name; `*` for a namespace, `default` for a default import."""
    specifier: str
    type_only: bool


@dataclass(frozen=True)
class Import(ImportedName):
    """One local name that an import statement binds."""

    statement: Node


@dataclass(frozen=True)
class _FileExports:
    local: Mapping[str, Declaration]
    declared: Mapping[str, Declaration]
    nodes: Mapping[str, Sequence[Node]]
    """Declared name to its declaring nodes (see `declared_names`)."""
    imports: Mapping[str, Import]
    forwarded: tuple[_ReExport, ...]


@dataclass(frozen=True)
class Namespace:
    """What `* as name` brings in: the exports of one specifier."""

    symbols: Mapping[str, Symbol]
    specifier: str
    from_file: str


_KINDS: dict[str, DeclarationKind] = {
    "function_declaration": "function",
    "generator_function_declaration": "function",
    "function_signature": "function",
    "class_declaration": "class",
    "abstract_class_declaration": "class",
    "interface_declaration": "type",
    "type_alias_declaration": "type",
    "enum_declaration": "value",
}


def declared_names(node: Node) -> Sequence[tuple[str, DeclarationKind, Node]]:
    """Return (name, kind, declaring node) of a statement, `export` and `declare` looked through.

    The declaring node of `const f = …` is its declarator.
    """
    inner: Node | None = node
    form = node.type
    if form == "export_statement":
        inner = node.child_by_field_name("declaration")
        form = inner.type if inner is not None else ""
    if inner is not None and form == "ambient_declaration":
        inner = inner.named_children[0] if inner.named_children else None
        form = inner.type if inner is not None else ""
    kind = _KINDS.get(form)
    if inner is not None and kind is not None:
        name = inner.child_by_field_name("name")
        return [] if name is None else [(text_of(name), kind, inner)]
    if inner is None or form not in _VARIABLES:
        return []
    found: list[tuple[str, DeclarationKind, Node]] = []
    for declarator in inner.named_children:
        pattern = declarator.child_by_field_name("name")
        value = declarator.child_by_field_name("value")
        kind = "function" if value is not None and value.type in _FUNCTION_VALUES else "value"
        names = bound_identifiers(pattern) if pattern is not None else ()
        found.extend((text_of(name), kind, declarator) for name in names)
    return found


_VARIABLES = frozenset({"lexical_declaration", "variable_declaration"})


_FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})


def read_imports(module: Module) -> list[Import]:
    """Return the names that the file's static imports bind, in order."""
    found: list[Import] = []
    for statement in module.statements:
        if statement.type != "import_statement":
            continue
        specifier = string_value(statement.child_by_field_name("source"))
        clause = next((c for c in statement.named_children if c.type == "import_clause"), None)
        if specifier is None or clause is None:
            continue
        type_only = any(child.type == "type" for child in statement.children)
        for local, imported, is_type in _clause_names(clause):
            found.append(Import(local, imported, specifier, type_only or is_type, statement))
    return found


def _clause_names(clause: Node) -> Iterator[tuple[str, str, bool]]:
    for part in clause.named_children:
        if part.type == "identifier":
            yield text_of(part), "default", False
        elif part.type == "namespace_import":
            yield text_of(part.named_children[0]), "*", False
        elif part.type == "named_imports":
            for item in part.named_children:
                name = item.child_by_field_name("name")
                if name is None:
                    continue
                alias = item.child_by_field_name("alias") or name
                is_type = any(child.type == "type" for child in item.children)
                yield text_of(alias), text_of(name), is_type


def _read_file(path: str, module: Module) -> _FileExports:
    declared: dict[str, Declaration] = {}
    nodes: dict[str, list[Node]] = {}
    for statement in module.statements:
        for name, kind, node in declared_names(statement):
            declared[name] = Declaration(path, name, kind)
            nodes.setdefault(name, []).append(node)
    imports = {item.local: item for item in read_imports(module)}
    local: dict[str, Declaration] = {}
    forwarded: list[_ReExport] = []
    for statement in module.statements:
        if statement.type != "export_statement":
            continue
        source = statement.child_by_field_name("source")
        if source is not None:
            forwarded.extend(_re_exports(statement, string_value(source) or ""))
            continue
        for name, as_name in _named_exports(statement):
            if name in declared:
                local[as_name] = declared[name]
            elif name in imports:
                item = imports[name]
                forwarded.append(_ReExport(item.specifier, item.imported, as_name))
    return _FileExports(local, declared, nodes, imports, tuple(forwarded))


def _re_exports(statement: Node, specifier: str) -> Iterator[_ReExport]:
    """Yield what `export … from specifier` passes on."""
    for child in statement.named_children:
        if child.type == "export_clause":
            for name, as_name in _exported_pairs(child):
                yield _ReExport(specifier, name, as_name)
            return
        if child.type == "namespace_export":
            yield _ReExport(specifier, "*", text_of(child.named_children[0]))
            return
    yield _ReExport(specifier, "*", None)


def _named_exports(statement: Node) -> Iterator[tuple[str, str]]:
    """Yield (name in the file, exported as) of a statement without `*`."""
    for clause in statement.named_children:
        if clause.type == "export_clause":
            yield from _exported_pairs(clause)
    default = any(child.type == "default" for child in statement.children)
    for name, _, _ in declared_names(statement):
        yield name, "default" if default else name
    value = statement.child_by_field_name("value")
    if value is not None and value.type == "identifier":
        yield text_of(value), "default"


def _exported_pairs(clause: Node) -> Iterator[tuple[str, str]]:
    """Yield (name, exported as) of `{ name, name as other }`."""
    for item in clause.named_children:
        name = item.child_by_field_name("name")
        if name is not None:
            yield text_of(name), text_of(item.child_by_field_name("alias") or name)


def resolve_relative(from_file: str, specifier: str, files: Mapping[str, object]) -> str | None:
    """Return the snapshot file that a relative import means (`.js` stands for `.ts`), or None."""
    base = posixpath.normpath(posixpath.join(posixpath.dirname(from_file), specifier))
    stem = base.removesuffix(".js").removesuffix(".ts")
    candidates = (f"{stem}.ts", f"{base}.ts", f"{stem}/index.ts")
    return next((candidate for candidate in candidates if candidate in files), None)


class LibraryExports:
    """Answers what names mean in one snapshot."""

    def __init__(self, modules: Mapping[str, Module], profile: Profile) -> None:
        """Read the exports of `modules` (repository path to parsed implementation file).

        Raises QiPipelineError when the entry file of none of the profile's packages is there.
        """
        self.profile = profile
        self.modules = modules
        self._files: dict[str, _FileExports] = {}
        self._exports: dict[str, dict[str, Declaration]] = {}
        self._occurrences: dict[str, Occurrences] = {}
        self._targets: dict[tuple[str, str], str | None] = {}
        """(specifier, importing file) to the file that is meant."""
        self._file_symbols: dict[str, Mapping[str, Symbol]] = {}
        self.entries: dict[str, str] = {}
        for package in profile.packages:
            entry = _entry_file(package, modules)
            if entry is not None:
                self.entries[package.name] = entry
        if not self.entries:
            wanted = ", ".join(package.entries[0] for package in profile.packages)
            raise QiPipelineError(
                f"the snapshot holds no entry file of the library {profile.name!r} "
                f"(looked for {wanted} and older layouts); is this the right repository, "
                "revision and profile?"
            )
        self.symbols: dict[str, dict[str, Symbol]] = {
            package: {
                name: Symbol(package, name, declaration)
                for name, declaration in sorted(self.exports_of(entry).items())
            }
            for package, entry in self.entries.items()
        }
        self._by_declaration: dict[Declaration, Symbol] = {}
        for symbols in self.symbols.values():
            for symbol in symbols.values():
                known = self._by_declaration.get(symbol.declaration)
                if known is None or symbol.name == symbol.declaration.name:
                    self._by_declaration[symbol.declaration] = symbol

    def _file(self, path: str) -> _FileExports:
        if path not in self._files:
            self._files[path] = _read_file(path, self.modules[path])
        return self._files[path]

    def exports_of(self, path: str) -> dict[str, Declaration]:
        """Return exported name to declaration of one file, re-exports followed (cycles end)."""
        if path not in self._exports:
            self._exports[path] = self._follow(path, {})
        return self._exports[path]

    def _follow(
        self, path: str, visited: dict[str, dict[str, Declaration]]
    ) -> dict[str, Declaration]:
        """Return what a file exports; every file is read once, so barrels may lead in circles."""
        if path in visited:
            return visited[path]
        visited[path] = {}
        if path not in self.modules:
            return {}
        file = self._file(path)
        found = dict(file.local)
        for forward in file.forwarded:
            inner = self._forwarded(forward.specifier, path, visited)
            if forward.name is None:
                found = {**{n: d for n, d in inner.items() if n != "default"}, **found}
            elif forward.imported in inner:
                found[forward.name] = inner[forward.imported]
        visited[path] = found
        return found

    def _forwarded(
        self, specifier: str, path: str, visited: dict[str, dict[str, Declaration]]
    ) -> Mapping[str, Declaration]:
        if specifier in self.profile.umbrella.specifiers:
            entries = [self.entries.get(package.name) for package in self.profile.packages]
            found: dict[str, Declaration] = {}
            for entry in reversed([entry for entry in entries if entry is not None]):
                found.update(self._follow(entry, visited))
            return found
        target = self._target_file(specifier, path)
        return {} if target is None else self._follow(target, visited)

    def occurrences_of(self, path: str) -> Occurrences:
        """Return where a file of the snapshot declares, mentions and calls names."""
        if path not in self._occurrences:
            self._occurrences[path] = Occurrences(self.modules[path].root)
        return self._occurrences[path]

    def symbol_of(self, declaration: Declaration) -> Symbol | None:
        """Return the exported symbol that this declaration is, or None when it is internal."""
        return self._by_declaration.get(declaration)

    def declared_in(self, path: str) -> Mapping[str, Declaration]:
        """Return the top-level declarations of a file by name (empty for unknown files)."""
        return self._file(path).declared if path in self.modules else {}

    def imports_of(self, path: str) -> Mapping[str, Import]:
        """Return the imports of a file of the snapshot by local name."""
        return self._file(path).imports if path in self.modules else {}

    def forwarded_by(self, path: str) -> list[str]:
        """Return the import paths that a file of the snapshot passes exports on from."""
        return [item.specifier for item in self._file(path).forwarded]

    def nodes_of(self, declaration: Declaration) -> Sequence[Node]:
        """Return the nodes that declare a name: several for overloads and merged types."""
        if declaration.file not in self.modules:
            return ()
        return self._file(declaration.file).nodes.get(declaration.name, ())

    def exports_of_specifier(self, specifier: str, from_file: str) -> Mapping[str, Symbol]:
        """Return the library symbols that `import … from specifier` in `from_file` can name."""
        for package in self.profile.packages:
            if specifier in package.specifiers:
                return self.symbols.get(package.name, {})
        if specifier in self.profile.umbrella.specifiers:
            return self.names_anywhere()
        target = self._target_file(specifier, from_file)
        return {} if target is None else self._symbols_of(target)

    def _symbols_of(self, path: str) -> Mapping[str, Symbol]:
        if path not in self._file_symbols:
            named = ((n, self.symbol_of(d)) for n, d in self.exports_of(path).items())
            self._file_symbols[path] = {n: symbol for n, symbol in named if symbol is not None}
        return self._file_symbols[path]

    def leads_to_library(self, specifier: str, from_file: str) -> bool:
        """Tell whether a relative import means a file that passes a library namespace on."""
        target = self._target_file(specifier, from_file)
        forwarded = self._file(target).forwarded if target is not None else ()
        return any(
            forward.imported == "*" and self.exports_of_specifier(forward.specifier, target or "")
            for forward in forwarded
        )

    def namespace_of(self, specifier: str, from_file: str, name: str) -> Namespace | None:
        """Return what `import { name } from specifier` means if that is `export * as name`."""
        target = self._target_file(specifier, from_file)
        return None if target is None else self._namespace_in(target, name, set())

    def _namespace_in(self, path: str, name: str, seen: set[tuple[str, str]]) -> Namespace | None:
        if (path, name) in seen or path not in self.modules:
            return None
        seen.add((path, name))
        for forward in self._file(path).forwarded:
            if forward.name not in (None, name):
                continue
            if forward.imported == "*" and forward.name == name:
                symbols = self.exports_of_specifier(forward.specifier, path)
                return Namespace(symbols, forward.specifier, path) if symbols else None
            target = self._target_file(forward.specifier, path)
            inner = name if forward.name is None else forward.imported
            found = target and self._namespace_in(target, inner, seen)
            if found:
                return found
        return None

    def declaration_of(self, specifier: str, from_file: str, name: str) -> Declaration | None:
        """Return the snapshot's declaration that `import { name } from specifier` means."""
        target = self._target_file(specifier, from_file)
        return self.exports_of(target).get(name) if target is not None else None

    def _target_file(self, specifier: str, from_file: str) -> str | None:
        key = specifier, from_file
        if key not in self._targets:
            self._targets[key] = self._found_target(specifier, from_file)
        return self._targets[key]

    def _found_target(self, specifier: str, from_file: str) -> str | None:
        if specifier.startswith("."):
            return resolve_relative(from_file, specifier, self.modules)
        package = self.profile.package_of_specifier(specifier)
        if package is None or package.name not in self.entries:
            return None
        entry = self.entries[package.name]
        prefix = next((s for s in package.specifiers if specifier.startswith(f"{s}/")), None)
        if prefix is None:
            return entry
        return resolve_relative(entry, f"./{specifier.removeprefix(prefix + '/')}", self.modules)

    @cached_property
    def _merged(self) -> Mapping[str, Symbol]:
        merged: dict[str, Symbol] = {}
        for package in reversed(self.profile.packages):
            merged.update(self.symbols.get(package.name, {}))
        return merged

    def is_reached_by(self, module: Module, path: str) -> bool:
        """Tell whether a file could hold anything of the library.

        It does when it stands in the snapshot and imports the library, imports a file that does, or
        is part of it; or when its text names one of the library's import paths at all.
        """
        if self.modules.get(path) is module:
            return path in self._reaching
        return any(specifier in module.source for specifier in self._specifiers)

    @cached_property
    def _specifiers(self) -> tuple[bytes, ...]:
        """The library's import paths, those that continue another one left out."""
        packages = (specifier for p in self.profile.packages for specifier in p.specifiers)
        paths = sorted({*packages, *self.profile.umbrella.specifiers})
        return tuple(
            path.encode()
            for path in paths
            if not any(path != other and path.startswith(other) for other in paths)
        )

    @cached_property
    def _reaching(self) -> frozenset[str]:
        """The files whose relative imports lead, in any number of steps, to the library."""
        importers: dict[str, set[str]] = {}
        for path in self.modules:
            file = self._file(path)
            specifiers = {item.specifier for item in file.imports.values()}
            for specifier in specifiers | {forward.specifier for forward in file.forwarded}:
                relative = specifier.startswith(".")
                target = self._target_file(specifier, path) if relative else None
                if target is not None:
                    importers.setdefault(target, set()).add(path)
        reached = {symbol.declaration.file for p in self.symbols.values() for symbol in p.values()}
        reached |= {
            path
            for path, module in self.modules.items()
            if any(specifier in module.source for specifier in self._specifiers)
        }
        pending = list(reached)
        while pending:
            for importer in importers.get(pending.pop(), set()) - reached:
                reached.add(importer)
                pending.append(importer)
        return frozenset(reached)

    def names_anywhere(self) -> Mapping[str, Symbol]:
        """Return every exported name, types included; on a collision the earlier package wins."""
        return self._merged


def _entry_file(package: Package, modules: Mapping[str, Module]) -> str | None:
    for glob in package.entries:
        found = sorted((p for p in modules if matches_glob(p, glob)), key=lambda p: (len(p), p))
        if found:
            return found[0]
    return None


def read_modules(texts: Mapping[str, str]) -> dict[str, Module]:
    """Parse every TypeScript text by its path."""
    return {path: parse_module(text) for path, text in texts.items()}
