"""How one piece of TypeScript uses the library, by its syntax.

Flows in: a parsed file or code block and the library's exports. Flows out: counts by exported
symbol, and names that the library does not export. What the rules say belongs to `survey`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tree_sitter import Node

from qi_pipeline.extraction.exports import LibraryExports, Symbol, declared_names, read_imports
from qi_pipeline.extraction.members import CallResolver
from qi_pipeline.extraction.scopes import Scopes
from qi_pipeline.extraction.syntax import Module, captures, text_of
from qi_pipeline.library.profile import Profile

_BINDINGS = frozenset(
    {
        "import_specifier",
        "import_clause",
        "namespace_import",
        "export_specifier",
        "function_declaration",
        "generator_function_declaration",
        "function_signature",
        "class_declaration",
        "abstract_class_declaration",
        "interface_declaration",
        "type_alias_declaration",
        "enum_declaration",
        "variable_declarator",
    }
)
"""Nodes whose identifiers declare or pass on a name; other fields of theirs are other nodes."""
_CALLED = "(call_expression function: (identifier) @callee)"


@dataclass(frozen=True)
class PieceUsage:
    """The library symbols (`package:name`) that one file or code block uses."""

    calls: Counter[str]
    references: Counter[str]


def use_of(module: Module, path: str, resolvers: Sequence[CallResolver]) -> PieceUsage:
    """Count the uses of library symbols in `module`.

    `resolvers` know readings of the same library in different copies: a use counts once, whichever
    copy it reaches.
    """
    calls: dict[int, str] = {}
    references: dict[int, str] = {}
    for resolver in resolvers:
        for call in resolver.resolve(module, path).calls:
            calls.setdefault(call.byte, f"{call.package}:{call.symbol.partition('.')[0]}")
        for byte, symbol in _mentions(module, path, resolver.library):
            references.setdefault(byte, symbol.qualified)
    return PieceUsage(
        Counter(calls.values()),
        Counter(symbol for byte, symbol in references.items() if byte not in calls),
    )


def _mentions(module: Module, path: str, library: LibraryExports) -> Iterable[tuple[int, Symbol]]:
    """Yield offset and symbol of every name of an export, type or value, that is no binding."""
    symbols = {
        name: symbol
        for name, declaration in library.declared_in(path).items()
        if (symbol := library.symbol_of(declaration)) is not None
    }
    for item in read_imports(module):
        exported = library.exports_of_specifier(item.specifier, path)
        if item.imported in exported:
            symbols[item.local] = exported[item.imported]
    if not symbols:
        return
    for mention in Scopes(module.root, symbols.keys()).free_mentions(module.root):
        if not _is_binding(mention):
            yield mention.start_byte, symbols[text_of(mention)]


def _is_binding(mention: Node) -> bool:
    parent = mention.parent
    if parent is None or parent.type not in _BINDINGS:
        return False
    # `const copy = success` declares one name and mentions another.
    return parent.child_by_field_name("value") != mention


def unknown_imports(module: Module, profile: Profile, library: LibraryExports) -> set[str]:
    """Return the names that `module` imports from a package's main entry and that it lacks.

    A name imported from the umbrella counts for the first package, when no package has it.
    """
    found = set()
    for item in read_imports(module):
        package = next((p for p in profile.packages if item.specifier in p.specifiers), None)
        if package is None and item.specifier in profile.umbrella.specifiers:
            package = profile.packages[0]
        if package is None or item.imported in ("*", "default"):
            continue
        if item.imported not in library.exports_of_specifier(item.specifier, ""):
            found.add(f"{package.name}:{item.imported}")
    return found


def unbound_calls(module: Module) -> set[str]:
    """Return the names that `module` calls and neither imports nor declares."""
    callees = captures(_CALLED, module.root).get("callee", [])
    names = {text_of(callee) for callee in callees}
    bound = {item.local for item in read_imports(module)}
    bound |= {name for s in module.root.named_children for name, _, _ in declared_names(s)}
    scopes = Scopes(module.root, names - bound)
    return {
        text_of(callee)
        for callee in callees
        if text_of(callee) not in bound and not scopes.hides(callee)
    }
