"""What a developer knows of a module before it is written, and what of it is withheld until then.

Flows in: a module's text. Flows out: its `ModuleInterface` (exports, signatures, types, purpose),
its bodies, and the library names it imports. What is asked with them belongs to the makers of the
task kinds.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tree_sitter import Node

from qi_pipeline.extraction.exports import Import, read_imports
from qi_pipeline.extraction.instructions import doc_sentence, on_one_line, signature
from qi_pipeline.extraction.syntax import Module, parse_module, text_of, walk
from qi_pipeline.extraction.units import called_name, cases_below
from qi_pipeline.extraction.wording import Purpose, read_purpose
from qi_pipeline.library.profile import Profile

FUNCTION_VALUES: Final = frozenset({"arrow_function", "function_expression"})
_FUNCTIONS: Final = frozenset({"function_declaration", "generator_function_declaration"})
_BODIED: Final = _FUNCTIONS | FUNCTION_VALUES | {"method_definition", "generator_function"}
_DECLARATION_NOUNS: Final = {
    "class_declaration": "the class",
    "abstract_class_declaration": "the class",
    "interface_declaration": "the interface",
    "type_alias_declaration": "the type",
    "enum_declaration": "the enum",
}
_LOCAL_TYPES: Final = frozenset({"interface_declaration", "type_alias_declaration"})
_PUBLIC: Final = _LOCAL_TYPES | {"import_statement", "comment", "enum_declaration"}
_MAX_TYPE_CHARACTERS: Final = 400


@dataclass(frozen=True)
class ModuleInterface:
    """What a developer knows of a module before it is written."""

    exports: tuple[str, ...]
    """Each exported declaration in words: a function's signature, `the class X`, ..."""
    names: tuple[str, ...]
    nouns: tuple[str, ...]
    """What each export is: function, class, constant, …"""
    purpose: Purpose | None
    """What the last export whose comment or name says so is for."""
    types: tuple[str, ...]
    """Declarations of the module's own types that a signature mentions."""


def read_interface(implementation: str) -> ModuleInterface:
    """Return what the module exports, by its syntax tree."""
    statements = parse_module(implementation).root.named_children
    exported = [
        (statement, declaration)
        for statement in statements
        if statement.type == "export_statement"
        and (declaration := statement.child_by_field_name("declaration")) is not None
    ]
    described = [(statement, *item) for statement, node in exported for item in _describe(node)]
    purposes = [
        purpose
        for statement, name, noun, _ in described
        if (purpose := read_purpose(doc_sentence(statement), name, acts=noun == "function"))
    ]
    return ModuleInterface(
        exports=tuple(text for _, _, _, text in described),
        names=tuple(name for _, name, _, _ in described),
        nouns=tuple(noun for _, _, noun, _ in described),
        purpose=purposes[-1] if purposes else None,
        types=_mentioned_types(statements, " ".join(text for *_, text in described)),
    )


def _describe(declaration: Node) -> list[tuple[str, str, str]]:
    """Return (name, noun, words) of each thing an exported declaration declares."""
    name = declaration.child_by_field_name("name")
    if declaration.type in _FUNCTIONS and name:
        return [(text_of(name), "function", f"`{signature(declaration)}`")]
    if declaration.type in _DECLARATION_NOUNS and name:
        noun = _DECLARATION_NOUNS[declaration.type]
        return [(text_of(name), noun.removeprefix("the "), f"{noun} `{text_of(name)}`")]
    return [
        _describe_value(child)
        for child in declaration.named_children
        if child.type == "variable_declarator"
    ]


def _describe_value(declarator: Node) -> tuple[str, str, str]:
    name = declarator.child_by_field_name("name")
    value = declarator.child_by_field_name("value")
    text = "" if name is None else on_one_line(text_of(name))
    if value is not None and value.type in FUNCTION_VALUES:
        annotation = declarator.child_by_field_name("type")
        if annotation is not None:
            return text, "function", f"`{text}{on_one_line(text_of(annotation))}`"
        return text, "function", f"`{signature(declarator)}`"
    return text, "constant", f"the constant `{text}`"


def _mentioned_types(statements: Sequence[Node], signatures: str) -> tuple[str, ...]:
    """Return the module's own types that the signatures name, and the types those name."""
    declared = {}
    for statement in statements:
        node = statement.child_by_field_name("declaration") or statement
        name = node.child_by_field_name("name")
        if node.type in _LOCAL_TYPES and name is not None:
            declared[text_of(name)] = on_one_line(_without_comments(text_of(node))).rstrip(";")
    mentioned: list[str] = []
    text = signatures
    while new := [name for name in declared if name not in mentioned and _names(text, name)]:
        mentioned += new
        text = " ".join(declared[name] for name in new)
    types = tuple(declared[name] for name in declared if name in mentioned)
    return types if sum(map(len, types)) <= _MAX_TYPE_CHARACTERS else ()


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text) is not None


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def withheld_code(implementation: str) -> tuple[str, ...]:
    """Return the parts of a module that say how it is done: bodies, values, statements."""
    parts: list[str] = []
    for statement in parse_module(implementation).root.named_children:
        node = statement.child_by_field_name("declaration") or statement
        if node.type in _PUBLIC:
            continue
        bodies = [text_of(body) for body in _bodies(statement)]
        parts.extend(bodies or [text_of(statement)])
    return tuple(parts)


def _bodies(statement: Node) -> Iterator[Node]:
    """Yield the outermost bodies in a statement; of a test suite, those of its cases."""
    if statement.type == "expression_statement" and called_name(statement) is not None:
        cases = [case for _, case in cases_below(statement)]
        yield from (body for case in cases for body in _bodies_below(case))
        return
    yield from _bodies_below(statement)


def _bodies_below(node: Node) -> Iterator[Node]:
    body = node.child_by_field_name("body") if node.type in _BODIED else None
    if body is not None:
        yield body
        return
    value = node.child_by_field_name("value")
    if node.type in ("variable_declarator", "public_field_definition") and value is not None:
        inner = list(_bodies_below(value))
        yield from inner or [value]
        return
    for child in node.named_children:
        yield from _bodies_below(child)


@dataclass(frozen=True)
class LibraryUse:
    """The library names that one module imports."""

    imports: tuple[Import, ...]

    @property
    def values(self) -> frozenset[str]:
        """Local names of what is imported as a value."""
        return frozenset(item.local for item in self.imports if not item.type_only)

    def calls_in(self, node: Node) -> int:
        """Count the calls and constructions of imported names below `node`."""
        return sum(_called(child) in self.values for child in walk(node))

    def is_mentioned_in(self, node: Node) -> bool:
        """Tell whether a node mentions one of the imported values."""
        return any(
            child.type == "identifier" and text_of(child) in self.values for child in walk(node)
        )


def _called(node: Node) -> str | None:
    field = {"call_expression": "function", "new_expression": "constructor"}.get(node.type)
    callee = node.child_by_field_name(field) if field else None
    return text_of(callee) if callee is not None and callee.type == "identifier" else None


def library_use(module: Module, profile: Profile) -> LibraryUse:
    """Return what a module imports from the profile's packages."""
    return LibraryUse(
        tuple(item for item in read_imports(module) if is_library(item.specifier, profile))
    )


def is_library(specifier: str, profile: Profile) -> bool:
    """Tell whether an import path means one of the profile's packages."""
    known = profile.package_of_specifier(specifier) is not None
    return known or specifier in profile.umbrella.specifiers
