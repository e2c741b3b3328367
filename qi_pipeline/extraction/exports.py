"""What the library exports, read from its own barrels.

Flows in: the snapshot's implementation files. Flows out: `LibraryExports`, which answers what a
name imported from a given path means. Calls do not belong here.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tree_sitter import Node

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.syntax import Module, parse_module, string_value, text_of
from qi_pipeline.library.profile import Package, Profile, matches_glob

DeclarationKind = Literal["function", "class", "value", "type"]


@dataclass(frozen=True)
class Declaration:
    """One top-level declaration of the snapshot, by file and declared name."""

    file: str
    name: str
    kind: DeclarationKind


@dataclass(frozen=True)
class Symbol:
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
    """`export { imported as name } from "path"`; `name` is None for `export * from`."""

    specifier: str
    imported: str
    name: str | None


@dataclass(frozen=True)
class _FileExports:
    local: Mapping[str, Declaration]
    declared: Mapping[str, Declaration]
    forwarded: tuple[_ReExport, ...]


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


def declared_names(node: Node) -> Iterator[tuple[str, DeclarationKind, Node]]:
    """Yield (name, kind, declaring node) of a top-level statement, `export` looked through.

    The declaring node of `const f = …` is its declarator.
    """
    inner = node.child_by_field_name("declaration") if node.type == "export_statement" else node
    if inner is None:
        return
    if inner.type in _KINDS:
        name = inner.child_by_field_name("name")
        if name is not None:
            yield text_of(name), _KINDS[inner.type], inner
    elif inner.type in ("lexical_declaration", "variable_declaration"):
        for declarator in inner.named_children:
            name = declarator.child_by_field_name("name")
            if name is not None and name.type == "identifier":
                value = declarator.child_by_field_name("value")
                function = value is not None and value.type in (
                    "arrow_function",
                    "function_expression",
                )
                yield text_of(name), "function" if function else "value", declarator


def _read_file(path: str, module: Module) -> _FileExports:
    declared = {
        name: Declaration(path, name, kind)
        for statement in module.root.named_children
        for name, kind, _ in declared_names(statement)
    }
    local: dict[str, Declaration] = {}
    forwarded: list[_ReExport] = []
    for statement in module.root.named_children:
        if statement.type != "export_statement":
            continue
        specifier = string_value(statement.child_by_field_name("source"))
        clause = next((c for c in statement.named_children if c.type == "export_clause"), None)
        if clause is not None:
            for item in clause.named_children:
                name_node = item.child_by_field_name("name")
                if name_node is None:
                    continue
                alias = item.child_by_field_name("alias") or name_node
                if specifier is not None:
                    forwarded.append(_ReExport(specifier, text_of(name_node), text_of(alias)))
                elif text_of(name_node) in declared:
                    local[text_of(alias)] = declared[text_of(name_node)]
        elif specifier is not None:
            forwarded.append(_ReExport(specifier, "*", None))
        else:
            local.update({name: declared[name] for name, _, _ in declared_names(statement)})
    return _FileExports(local, declared, tuple(forwarded))


def resolve_relative(from_file: str, specifier: str, files: Mapping[str, object]) -> str | None:
    """Return the snapshot file that a relative import means (`.js` stands for `.ts`), or None."""
    base = posixpath.normpath(posixpath.join(posixpath.dirname(from_file), specifier))
    stem = base.removesuffix(".js").removesuffix(".ts")
    candidates = (f"{stem}.ts", f"{base}.ts", f"{base}/index.ts", f"{stem}/index.ts")
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

    def exports_of(self, path: str, _seen: frozenset[str] = frozenset()) -> dict[str, Declaration]:
        """Return exported name to declaration of one file, re-exports followed (cycles end)."""
        if path in _seen or path not in self.modules:
            return {}
        file = self._file(path)
        found = dict(file.local)
        for forward in file.forwarded:
            target = resolve_relative(path, forward.specifier, self.modules)
            if target is None:
                continue
            inner = self.exports_of(target, _seen | {path})
            if forward.name is None:
                found = {**inner, **found}
            elif forward.imported in inner:
                found[forward.name] = inner[forward.imported]
        return found

    def symbol_of(self, declaration: Declaration) -> Symbol | None:
        """Return the exported symbol that this declaration is, or None when it is internal."""
        return self._by_declaration.get(declaration)

    def declared_in(self, path: str) -> Mapping[str, Declaration]:
        """Return the top-level declarations of a file by name (empty for unknown files)."""
        return self._file(path).declared if path in self.modules else {}

    def exports_of_specifier(self, specifier: str, from_file: str) -> dict[str, Symbol]:
        """Return the library symbols that `import … from specifier` in `from_file` can name."""
        for package in self.profile.packages:
            if specifier in package.specifiers:
                return self.symbols.get(package.name, {})
        if specifier in self.profile.umbrella.specifiers:
            merged: dict[str, Symbol] = {}
            for package in reversed(self.profile.packages):
                merged.update(self.symbols.get(package.name, {}))
            return merged
        target = self._target_file(specifier, from_file)
        if target is None:
            return {}
        named = ((n, self.symbol_of(d)) for n, d in self.exports_of(target).items())
        return {name: symbol for name, symbol in named if symbol is not None}

    def declaration_of(self, specifier: str, from_file: str, name: str) -> Declaration | None:
        """Return the snapshot's declaration that `import { name } from specifier` means."""
        target = self._target_file(specifier, from_file)
        return self.exports_of(target).get(name) if target is not None else None

    def _target_file(self, specifier: str, from_file: str) -> str | None:
        if specifier.startswith("."):
            return resolve_relative(from_file, specifier, self.modules)
        package = self.profile.package_of_specifier(specifier)
        if package is None or package.name not in self.entries:
            return None
        prefix = next(s for s in package.specifiers if specifier.startswith(f"{s}/"))
        return resolve_relative(
            self.entries[package.name], f"./{specifier.removeprefix(prefix + '/')}", self.modules
        )

    def names_anywhere(self) -> dict[str, Symbol]:
        """Return every exported non-type name; on a collision the earlier package wins."""
        merged: dict[str, Symbol] = {}
        for package in reversed(self.profile.packages):
            merged.update(self.symbols.get(package.name, {}))
        return merged


def _entry_file(package: Package, modules: Mapping[str, Module]) -> str | None:
    for glob in package.entries:
        found = sorted((p for p in modules if matches_glob(p, glob)), key=lambda p: (len(p), p))
        if found:
            return found[0]
    return None


def read_modules(texts: Mapping[str, str]) -> dict[str, Module]:
    """Parse every TypeScript text by its path."""
    return {path: parse_module(text) for path, text in texts.items()}
