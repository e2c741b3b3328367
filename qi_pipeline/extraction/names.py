"""What the names of one file mean: library symbols and namespaces.

Flows in: a parsed file and the library's exports. Flows out: `FileNames`, which answers for an
expression. Covered are static and dynamic imports, the library's own declarations, and constants
that only give such a thing another name. Types belong to `declared_types`.
"""

from collections.abc import Iterator, Mapping
from typing import Self

from tree_sitter import Node

from qi_pipeline.extraction.exports import (
    ImportedName,
    LibraryExports,
    Namespace,
    Symbol,
    read_imports,
)
from qi_pipeline.extraction.scopes import Occurrences
from qi_pipeline.extraction.syntax import Module, string_value, text_of

Meaning = Symbol | Namespace

_WRAPPERS = frozenset({"parenthesized_expression", "non_null_expression"})


class FileNames:
    """Answers what the names of one file mean; shadowed names do not mean the import."""

    def __init__(
        self,
        module: Module,
        path: str,
        library: LibraryExports,
        *,
        imports: Mapping[str, ImportedName],
        occurrences: Occurrences,
    ) -> None:
        """Bind the names of `module`, which stands at `path`; `imports` are by local name."""
        self.module = module
        self.path = path
        self.library = library
        self.imports = imports
        self.occurrences = occurrences
        self._top: dict[str, Meaning] = {}
        """Names that mean something in the whole file."""
        self._inner: dict[int, Meaning] = {}
        """Start of a declaring identifier to its meaning."""
        self.names: set[str] = set()
        """Every local name that may mean something."""
        self._bind_own()
        self._bind_imports()
        for node in self.occurrences.of("dynamic"):
            self._bind_dynamic(node)
        for node in sorted(self.occurrences.of("alias"), key=lambda node: node.start_byte):
            if text_of(node) in self.names:
                self._bind_alias(node)

    @classmethod
    def of_module(cls, module: Module, path: str, library: LibraryExports) -> Self:
        """Return what the names of a module mean, whether the snapshot holds it or not."""
        imports: Mapping[str, ImportedName]
        if library.modules.get(path) is module:
            imports, occurrences = library.imports_of(path), library.occurrences_of(path)
        else:
            imports = {item.local: item for item in read_imports(module)}
            occurrences = Occurrences(module.root)
        return cls(module, path, library, imports=imports, occurrences=occurrences)

    def meaning(self, expression: Node) -> Meaning | None:
        """Return the library symbol or namespace that an expression names."""
        node = unwrapped(expression)
        kind = node.type
        if kind == "identifier":
            return self._meaning_of_name(node)
        if kind in ("member_expression", "subscript_expression"):
            target, name = node.child_by_field_name("object"), member_name(node)
            if target is None or name is None:
                return None
            return self._member(self.meaning(target), name)
        if kind == "await_expression":
            return self._imported_dynamically(node.named_children[0])
        return None

    def _meaning_of_name(self, node: Node) -> Meaning | None:
        name = text_of(node)
        if name not in self.names:
            return None
        declared = self.occurrences.meant(node)
        if declared is not None and declared.node.start_byte in self._inner:
            return self._inner[declared.node.start_byte]
        return self._top.get(name) if declared is None or declared.extent is None else None

    def _bind_own(self) -> None:
        for name, declaration in self.library.declared_in(self.path).items():
            own = self.library.symbol_of(declaration)
            if own is not None and own.declaration.kind != "type":
                self._top[name] = own
                self.names.add(name)

    def _bind_imports(self) -> None:
        for item in self.imports.values():
            if not item.type_only:
                meaning = self._imported(item.specifier, item.imported)
                if meaning is not None:
                    self._top[item.local] = meaning
                    self.names.add(item.local)

    def _imported(self, specifier: str, name: str) -> Meaning | None:
        symbols = self.library.exports_of_specifier(specifier, self.path)
        if name == "*":
            inside = symbols or self.library.leads_to_library(specifier, self.path)
            return Namespace(symbols, specifier, self.path) if inside else None
        return symbols.get(name) or self.library.namespace_of(specifier, self.path, name)

    def _member(self, meaning: Meaning | None, name: str) -> Meaning | None:
        if not isinstance(meaning, Namespace):
            return None
        group = meaning.symbols.get(name)
        return group or self.library.namespace_of(meaning.specifier, meaning.from_file, name)

    def _imported_dynamically(self, expression: Node) -> Meaning | None:
        """Return what `import("…")` gives."""
        call = unwrapped(expression)
        function = call.child_by_field_name("function")
        arguments = call.child_by_field_name("arguments")
        if function is None or function.type != "import" or arguments is None:
            return None
        first = next(iter(arguments.named_children), None)
        specifier = string_value(first)
        return None if specifier is None else self._imported(specifier, "*")

    def _bind_dynamic(self, function: Node) -> None:
        """Bind what `const … = await import("…")` and `import("…").then((…) => …)` declare."""
        call = function.parent
        meaning = None if call is None else self._imported_dynamically(call)
        if call is None or meaning is None:
            return
        holder, awaited = call.parent, False
        while holder is not None and holder.type in (*_WRAPPERS, "await_expression"):
            awaited = awaited or holder.type == "await_expression"
            holder = holder.parent
        if holder is None:
            return
        if awaited and holder.type == "variable_declarator":
            self._bind_declarator(holder, meaning)
        elif not awaited and holder.type == "member_expression":
            pattern = _then_parameter(holder)
            if pattern is not None:
                self._bind_pattern(pattern, meaning)

    def _bind_alias(self, value: Node) -> None:
        """Bind what `const other = name` and `const { name } = namespace` declare."""
        holder = value.parent
        if holder is not None and holder.type == "member_expression":
            value, holder = holder, holder.parent
        meaning = self.meaning(value)
        if holder is not None and meaning is not None:
            self._bind_declarator(holder, meaning)

    def _bind_declarator(self, declarator: Node, meaning: Meaning) -> None:
        statement = declarator.parent
        pattern = declarator.child_by_field_name("name")
        constant = statement is not None and statement.children[0].type == "const"
        if constant and pattern is not None and declarator.child_by_field_name("type") is None:
            self._bind_pattern(pattern, meaning)

    def _bind_pattern(self, pattern: Node, meaning: Meaning) -> None:
        if pattern.type == "identifier":
            # The library's own exported constant is a symbol of its own.
            own = self.library.declared_in(self.path).get(text_of(pattern))
            if own is None or self.library.symbol_of(own) is None:
                self._set(pattern, meaning)
        elif pattern.type == "object_pattern":
            for name, local in destructured(pattern):
                member = self._member(meaning, name)
                if member is not None:
                    self._set(local, member)

    def _set(self, local: Node, meaning: Meaning) -> None:
        self._inner[local.start_byte] = meaning
        self.names.add(text_of(local))


def unwrapped(expression: Node) -> Node:
    """Return the expression without parentheses and `!`."""
    while expression.type in _WRAPPERS and expression.named_child_count:
        expression = expression.named_children[0]
    return expression


def member_name(access: Node) -> str | None:
    """Return the name that `object.name` or `object["name"]` accesses, if it is written out."""
    if access.type == "subscript_expression":
        return string_value(access.child_by_field_name("index"))
    member = access.child_by_field_name("property")
    return None if member is None else text_of(member)


def destructured(pattern: Node) -> Iterator[tuple[str, Node]]:
    """Yield (property, declaring identifier) of an object pattern, nested patterns left out."""
    for child in pattern.named_children:
        node: Node | None = child
        if child.type == "object_assignment_pattern":
            node = child.child_by_field_name("left")
        if node is None:
            continue
        if node.type == "shorthand_property_identifier_pattern":
            yield text_of(node), node
        elif node.type == "pair_pattern":
            key, value = node.child_by_field_name("key"), node.child_by_field_name("value")
            if value is not None and value.type == "assignment_pattern":
                value = value.child_by_field_name("left")
            if key is not None and value is not None and value.type == "identifier":
                yield string_value(key) or text_of(key), value


def _then_parameter(member: Node) -> Node | None:
    """Return the parameter of the function in `….then(function)`, given `….then`."""
    name, call = member.child_by_field_name("property"), member.parent
    if name is None or text_of(name) != "then" or call is None or call.type != "call_expression":
        return None
    arguments = call.child_by_field_name("arguments")
    function = next(iter(arguments.named_children), None) if arguments is not None else None
    if function is None or function.type not in ("arrow_function", "function_expression"):
        return None
    single = function.child_by_field_name("parameter")
    if single is not None:
        return single
    parameters = function.child_by_field_name("parameters")
    first = next(iter(parameters.named_children), None) if parameters is not None else None
    return first.child_by_field_name("pattern") if first is not None else None
