"""Mechanical repairs of modules that do not compile as they stand.

Flows in: a module's text, what the compiler said of it and the library's names. Flows out: a
`Repair`: another text, what was changed, and whether a person should look at it. Nothing is
invented: an imported name comes from the library's exports or is imported as the library imports
it, what a block assumes is taken from the other blocks of its document, and a value that only the
prose knows becomes a parameter where the library says its type.
Whether a repair helped is the checker's verdict and is not decided here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tree_sitter import Node

from qi_pipeline.extraction.exports import Symbol, declared_names, read_imports
from qi_pipeline.extraction.scopes import Scopes
from qi_pipeline.extraction.syntax import Module, ancestors, parse_module, text_of, walk
from qi_pipeline.validation.module_imports import (
    ImportItem,
    ModuleImports,
    import_mentioned,
    import_of,
)
from qi_pipeline.validation.names import LibraryNames, ParameterType
from qi_pipeline.validation.staleness import (
    missing_export,
    missing_module,
    relative_module,
    unknown_name,
)
from qi_pipeline.validation.syntax import FUNCTION_LITERALS
from qi_pipeline.validation.syntax import parse_module as parse_utf16
from qi_pipeline.validation.verdict import Diagnostic, Verdict

_TYPE_ONLY_IMPORTS = "R13"
_TYPE_IMPORTED_AS_VALUE = frozenset({1484, 1485})
_VALUE_IMPORTED_AS_TYPE = frozenset({1361, 1362, 1375})
_DECLARED_TWICE = frozenset({2300, 2323, 2393, 2451})
_NOTEBOOK_DISPLAY = "Deno.jupyter"
"""What shows rich output in the notebooks' TypeScript kernel, and exists nowhere else."""
_INDENT = "  "


@dataclass(frozen=True)
class Repair:
    """A module's text after mechanical changes."""

    text: str
    changes: tuple[str, ...]
    """One short sentence each, opening with its kind: `import added: …`."""
    doubts: tuple[str, ...] = ()
    """Why a person should look at it before it is learned from; empty for imports and the like."""


def is_repairable(verdict: Verdict) -> bool:
    """Tell whether a verdict says something that `repair_module` may mend."""
    return not verdict.compiles or _imports_types_as_values(verdict)


def _imports_types_as_values(verdict: Verdict) -> bool:
    return any(violation.id == _TYPE_ONLY_IMPORTS for violation in verdict.rules)


def repair_module(
    text: str,
    verdict: Verdict,
    names: LibraryNames,
    *,
    is_document: bool,
    source_file: str,
) -> Repair | None:
    """Return `text` with its imports mended, as the verdict asks; None when nothing changes.

    `source_file` is the repository path that the text comes from; a document's code stands in no
    file, so that its relative imports lead nowhere. What shows output in a notebook goes, and of
    several versions of one declaration in a block of a document the last stays.
    """
    work = _Work(text, names, source_file=None if is_document else source_file)
    work.mend_imports(verdict.diagnostics, types_only=_imports_types_as_values(verdict))
    if is_document:
        work.remove_display()
        work.keep_last_declarations(verdict.diagnostics)
    return work.result()


def complete_module(
    text: str, diagnostics: Sequence[Diagnostic], names: LibraryNames, siblings: Sequence[str]
) -> Repair | None:
    """Return a document's block with what its prose assumes; None when nothing of it is known.

    `siblings` are the other blocks of the document, nearest first. Their functions, classes and
    types are taken; values become parameters where the library says their types, and are taken
    from the siblings where it does not, for a person to look at.
    """
    work = _Work(text, names)
    missing = {
        name
        for diagnostic in diagnostics
        if (name := unknown_name(diagnostic)) and import_of(name, names) is None
    }
    offered = _offered(siblings)
    missing -= work.take(missing, {name: d for name, d in offered.items() if d.is_definition})
    if not work.add_parameters(missing):
        missing -= work.take(missing, offered)
        work.add_parameters(missing)
    return work.result()


@dataclass(frozen=True)
class _Offer:
    """A top-level declaration of another block."""

    text: str
    is_definition: bool
    """Whether it is a function, class or type and no value of a running example."""
    mentions: frozenset[str]
    """What blocks declare at their top level and this declaration needs."""


def _offered(siblings: Sequence[str]) -> dict[str, _Offer]:
    """Return what blocks declare; the first block counts, and in it the last declaration."""
    found: dict[str, _Offer] = {}
    modules = [parse_module(text) for text in siblings]
    everything = frozenset(name for module in modules for name in _declared(module))
    for sibling in reversed(modules):
        scopes = Scopes(sibling.root, everything)
        for statement in sibling.root.named_children:
            mentions = scopes.names_in(statement)
            for name, kind, _ in declared_names(statement):
                found[name] = _Offer(text_of(statement), kind != "value", mentions - {name})
    return found


def _declared(module: Module) -> frozenset[str]:
    return frozenset(
        name for statement in module.root.named_children for name, _, _ in declared_names(statement)
    )


def _needed_first(names: Iterable[str], offered: Mapping[str, _Offer]) -> list[str]:
    """Return names and all that their declarations need in turn, what is needed before its use."""
    ordered: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen or name not in offered:
            return
        seen.add(name)
        for needed in sorted(offered[name].mentions):
            visit(needed)
        ordered.append(name)

    for name in sorted(names):
        visit(name)
    return ordered


@dataclass
class _Work:
    """A text under repair."""

    text: str
    names: LibraryNames
    changes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    source_file: str | None = None

    def __post_init__(self) -> None:
        self.original = self.text

    def result(self) -> Repair | None:
        if self.text == self.original:
            return None
        return Repair(self.text, tuple(self.changes), tuple(self.doubts))

    # ── imports ──────────────────────────────────────────────────────────────────────────────────

    def mend_imports(self, diagnostics: Iterable[Diagnostic], *, types_only: bool) -> None:
        """Add, move, remove and re-flavour imports; `types_only`: those of types, too."""
        module = parse_module(self.text)
        imports = ModuleImports(module, self.names)
        used = _used_names(module)
        for diagnostic in diagnostics:
            change = (
                self._import_missing(imports, diagnostic)
                or self._move(imports, diagnostic, used)
                or self._move_relative(imports, diagnostic, used)
                or self._remove_unresolved(imports, diagnostic, used)
                or _change_flavour(imports, diagnostic, module)
            )
            if change and change not in self.changes:
                self.changes.append(change)
        if types_only:
            self.changes += [f"import made type-only: {name}" for name in imports.flavour_types()]
        self.text = imports.rendered()

    def _import_missing(self, imports: ModuleImports, diagnostic: Diagnostic) -> str | None:
        name = unknown_name(diagnostic)
        if name is None:
            return None
        found = import_of(name, self.names)
        if found is None:
            return None
        specifier, item = found
        imports.add(specifier, item)
        return f"import added: {name} from {specifier}"

    def _move(
        self, imports: ModuleImports, diagnostic: Diagnostic, used: frozenset[str]
    ) -> str | None:
        """Import from its own package what another package was thought to export."""
        missing = missing_export(diagnostic)
        if missing is None:
            return None
        specifier, name = missing
        symbols = self.names.exports.get(name, ())
        items = [item for item in imports.of(specifier) if item.imported == name]
        if symbols and self.names.is_library(specifier):
            target = self.names.specifier_of(symbols[0])
            is_type = symbols[0].declaration.kind == "type"
            imports.take(specifier, name)
            for item in items:
                imports.add(target, replace(item, type_only=is_type or item.type_only))
            return f"import moved: {name} from {specifier} to {target}"
        if any(item.local in used for item in items):
            return None
        imports.take(specifier, name)
        return f"unused import removed: {name} from {specifier}"

    def _move_relative(
        self, imports: ModuleImports, diagnostic: Diagnostic, used: frozenset[str]
    ) -> str | None:
        """Import from the packages what stands in a file beside the extracted one.

        A file that is none of the library's may declare another thing of the name.
        """
        specifier = relative_module(diagnostic)
        if specifier is None:
            return None
        items = imports.of(specifier)
        moved: list[tuple[ImportItem, Symbol]] = []
        doubtful: list[str] = []
        for item in items:
            if item.local not in used:
                continue
            symbol = self.names.symbol_beside(specifier, item.imported, self.source_file)
            if symbol is None:
                symbol = next(iter(self.names.exports.get(item.imported, ())), None)
                doubtful.append(item.imported)
            if symbol is None:
                return None
            moved.append((item, symbol))
        for item in items:
            imports.take(specifier, item.imported)
        for item, symbol in moved:
            type_only = item.type_only or symbol.declaration.kind == "type"
            new = replace(item, imported=symbol.name, type_only=type_only)
            imports.add(self.names.specifier_of(symbol), new)
        if doubtful:
            self.doubts.append(
                f"imports {', '.join(doubtful)} from the library in place of {specifier}"
            )
        return f"import moved: {specifier} to the library's packages"

    def _remove_unresolved(
        self, imports: ModuleImports, diagnostic: Diagnostic, used: frozenset[str]
    ) -> str | None:
        """Remove the import of a module that is not there when nothing of it is used."""
        specifier = missing_module(diagnostic)
        if specifier is None:
            return None
        items = imports.of(specifier)
        if not items or any(item.local in used for item in items):
            return None
        for item in items:
            imports.take(specifier, item.imported)
        return f"unused import removed: {specifier}"

    # ── documents ────────────────────────────────────────────────────────────────────────────────

    def remove_display(self) -> None:
        """Remove the statements that show rich output in a notebook."""
        module = parse_module(self.text)
        shown = [
            statement
            for statement in module.root.named_children
            if statement.type == "expression_statement"
            and text_of(statement).removeprefix("await ").startswith(_NOTEBOOK_DISPLAY)
        ]
        if shown:
            self._cut(module, shown)
            self.changes.append(f"display removed: {_NOTEBOOK_DISPLAY}")

    def keep_last_declarations(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Keep the last of several declarations of one name: "instead of this, write this"."""
        if not any(diagnostic.code in _DECLARED_TWICE for diagnostic in diagnostics):
            return
        module = parse_module(self.text)
        declared = [
            (statement, [name for name, _, _ in declared_names(statement)])
            for statement in module.root.named_children
        ]
        counts = Counter(name for _, names in declared for name in names)
        earlier, names = [], []
        for statement, found in declared:
            if len(found) == 1 and counts[found[0]] > 1:
                counts[found[0]] -= 1
                earlier.append(statement)
                names.append(found[0])
        if earlier:
            self._cut(module, earlier)
            again = ", ".join(dict.fromkeys(names))
            self.changes.append(f"earlier declaration removed: {again}")
            self.doubts.append(f"declares {again} more than once; only the last was kept")

    def take(self, missing: Iterable[str], offered: Mapping[str, "_Offer"]) -> set[str]:
        """Put what other blocks declare before the statements, with all that it needs in turn.

        Returns the names that were missing and are now declared.
        """
        module = parse_module(self.text)
        own = _declared(module)
        taken = _needed_first(
            missing, {name: offer for name, offer in offered.items() if name not in own}
        )
        if not taken:
            return set()
        first = next((s for s in module.root.named_children if not _opens(s)), None)
        at = first.start_byte if first is not None else len(module.source)
        prelude = "".join(
            f"{text}\n\n" for text in dict.fromkeys(offered[name].text for name in taken)
        )
        self.text = (module.source[:at] + prelude.encode() + module.source[at:]).decode()
        self.changes += [f"prelude added: {name} from another block" for name in taken]
        # Which of a document's running examples is meant, only its prose says.
        self.doubts += [
            f"takes the value of {name} from another block"
            for name in taken
            if not offered[name].is_definition
        ]
        self.text, _ = import_mentioned(self.text, self.names)
        return set(taken)

    def _cut(self, module: Module, statements: Sequence[Node]) -> None:
        """Remove statements of the module with the comments that stand right above them."""
        source = module.source
        for statement in sorted(statements, key=_start, reverse=True):
            first = statement
            while (above := first.prev_named_sibling) is not None and _is_right_above(above, first):
                first = above
            # One blank line stays between what stood above and what stood below.
            below = source[statement.end_byte :].lstrip(b" \t;").lstrip(b"\r\n")
            above_it = source[: first.start_byte].rstrip()
            source = above_it + (b"\n\n" if above_it and below else b"\n") + below
        self.text = source.decode()

    def add_parameters(self, names: Iterable[str]) -> bool:
        """Make the values that the prose assumes parameters of a function around the statements.

        Done only when the library says the type of every one of them and exported code needs none;
        returns whether nothing is missing after it.
        """
        module = parse_module(self.text)
        scopes = Scopes(module.root, set(names) - _declared(module))
        mentions = list(scopes.free_mentions(module.root))
        missing = {text_of(mention) for mention in mentions}
        if not missing or any(_in_exported(mention) for mention in mentions):
            return not missing
        callees = _Callees(module, self.names)
        parameters = {
            name: self._parameter(name, [m for m in mentions if text_of(m) == name], callees)
            for name in sorted(missing, key=[text_of(m) for m in mentions].index)
        }
        known = {name: found for name, found in parameters.items() if found is not None}
        if len(known) < len(parameters) or not _agree(kind for kind, _ in known.values()):
            return False
        self._wrap(module, {name: kind for name, (kind, _) in known.items()})
        for name, (kind, by_name) in known.items():
            self.changes.append(f"parameter added: {name}: {kind.text}")
            if by_name:
                self.doubts.append(f"assumes {name}, taken to be a {kind.text} for its name")
        return True

    def _parameter(
        self, name: str, mentions: Sequence[Node], callees: "_Callees"
    ) -> tuple[ParameterType, bool] | None:
        """Return the type that a free name must have, and whether only its name says so."""
        if any(mention.type == "type_identifier" for mention in mentions):
            return None
        found = {kind for mention in mentions if (kind := self._expected(mention, callees))}
        if len(found) == 1:
            return found.pop(), False
        conventional = self.names.conventional.get(name)
        return (conventional, True) if conventional is not None and not found else None

    def _expected(self, mention: Node, callees: "_Callees") -> ParameterType | None:
        """Return the type of the library's parameter that a name is passed for."""
        arguments = mention.parent
        call = arguments.parent if arguments is not None else None
        if arguments is None or call is None or arguments.type != "arguments":
            return None
        symbol = callees.symbol_of(call)
        if symbol is None:
            return None
        given = [child for child in arguments.named_children if child.type != "comment"]
        return self.names.parameter(symbol, given.index(mention))

    def _wrap(self, module: Module, parameters: Mapping[str, ParameterType]) -> None:
        imports = ModuleImports(module, self.names)
        for kind in parameters.values():
            for name in kind.imports:
                found = import_of(name, self.names)
                if found is not None:
                    imports.add(found[0], replace(found[1], type_only=True))
        module = parse_module(imports.rendered())
        outside, inside = _divided(module)
        last = [node for node in inside if node.type != "comment"][-1]
        body = _joined(inside)
        returned = [name for name, _, _ in declared_names(last)]
        if len(returned) == 1:
            body += f"\n{_INDENT}return {returned[0]};"
        generics = tuple(
            dict.fromkeys(one for kind in parameters.values() for one in kind.generics)
        )
        head = "async function" if _awaits(inside) else "function"
        listed = ", ".join(f"{name}: {kind.text}" for name, kind in parameters.items())
        name = f"{_first_callee(inside, _Callees(module, self.names))}Example"
        wrapped = f"<{', '.join(generics)}>" if generics else ""
        function = f"export {head} {name}{wrapped}({listed}) {{\n{body}\n}}"
        self.text = "\n\n".join([*_paragraphs(outside), function]) + "\n"


def _change_flavour(imports: ModuleImports, diagnostic: Diagnostic, module: Module) -> str | None:
    """Make an import a type's or a value's, as the compiler asks."""
    name = diagnostic.message.partition("'")[2].partition("'")[0]
    if diagnostic.code in _TYPE_IMPORTED_AS_VALUE:
        item = imports.at(_byte_of(module, diagnostic)) or imports.named(name)
        if item is not None:
            item.type_only = True
            return f"import made type-only: {item.local}"
    elif diagnostic.code in _VALUE_IMPORTED_AS_TYPE:
        item = imports.named(name)
        if item is not None:
            item.type_only = False
            return f"import made a value's: {item.local}"
    return None


def _byte_of(module: Module, diagnostic: Diagnostic) -> int:
    """Return the UTF-8 offset of a diagnostic's place."""
    parsed = parse_utf16(module.text)
    low, high = 0, len(parsed.utf16) // 2
    wanted = (diagnostic.line, diagnostic.column)
    while low < high:
        middle = (low + high) // 2
        if parsed.position(middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return len(parsed.slice(0, low).encode())


def _used_names(module: Module) -> frozenset[str]:
    """Return every identifier outside the import statements."""
    return frozenset(
        text_of(node)
        for statement in module.root.named_children
        if statement.type != "import_statement"
        for node in walk(statement)
        if node.type in ("identifier", "type_identifier", "shorthand_property_identifier")
    )


# ── a function around statements ─────────────────────────────────────────────────────────────────


def _start(node: Node) -> int:
    return node.start_byte


def _opens(statement: Node) -> bool:
    """Tell whether a statement is an import or a comment above one."""
    following: Node | None = statement
    while following is not None and following.type == "comment":
        following = following.next_named_sibling
    return following is not None and following.type == "import_statement"


def _is_right_above(comment: Node, node: Node) -> bool:
    """Tell whether a comment on lines of its own ends on the line above `node`."""
    before = comment.prev_named_sibling
    own_line = before is None or before.end_point.row < comment.start_point.row
    near = comment.end_point.row + 1 >= node.start_point.row
    return comment.type == "comment" and own_line and near


def _in_exported(mention: Node) -> bool:
    return any(node.type == "export_statement" for node in ancestors(mention))


def _agree(kinds: Iterable[ParameterType]) -> bool:
    """Tell whether type parameters of one name are all constrained alike and of one function."""
    generic = [kind for kind in kinds if kind.generics]
    return len(generic) <= 1


def _divided(module: Module) -> tuple[list[Node], list[Node]]:
    """Return the top-level nodes that stay outside the function and those that go into it.

    Imports and exports stay, with the comments right above them.
    """
    outside: list[Node] = []
    inside: list[Node] = []
    comments: list[Node] = []
    for node in module.root.named_children:
        if node.type == "comment" and (not inside or not _follows_on_line(node)):
            comments.append(node)
            continue
        stays = node.type in ("import_statement", "export_statement")
        (outside if stays else inside).extend([*comments, node])
        comments = []
    (inside or outside).extend(comments)
    return outside, inside


def _follows_on_line(comment: Node) -> bool:
    before = comment.prev_named_sibling
    return before is not None and before.end_point.row == comment.start_point.row


def _paragraphs(nodes: Sequence[Node]) -> list[str]:
    """Return the text of nodes, neighbouring lines together."""
    found: list[str] = []
    last: Node | None = None
    for node in nodes:
        text = text_of(node)
        if last is not None and node.start_point.row - last.end_point.row <= 1:
            space = " " if node.start_point.row == last.end_point.row else "\n"
            found[-1] += space + text
        else:
            found.append(text)
        last = node
    return found


_OF_MANY_LINES = frozenset({"template_string", "template_literal_type", "string"})
"""Literals whose value holds the indentation of their further lines."""


def _joined(nodes: Sequence[Node]) -> str:
    """Return the text of the nodes as the lines of a function's body."""
    text = "\n\n".join(_paragraphs(nodes))
    frozen = {
        row
        for node in walk(parse_module(text).root)
        if node.type in _OF_MANY_LINES
        for row in range(node.start_point.row + 1, node.end_point.row + 1)
    }
    lines = text.split("\n")
    return "\n".join(
        line if row in frozen or not line.strip() else _INDENT + line
        for row, line in enumerate(lines)
    )


def _awaits(nodes: Iterable[Node]) -> bool:
    """Tell whether any of the nodes awaits outside a function of its own."""
    for node in nodes:
        for found in walk(node):
            if found.type != "await_expression":
                continue
            inner = FUNCTION_LITERALS | {"function_declaration", "method_definition"}
            if not any(above.type in inner for above in ancestors(found)):
                return True
    return False


class _Callees:
    """Which calls of a module are calls of functions that it imports from the library."""

    def __init__(self, module: Module, names: LibraryNames) -> None:
        declared = _declared(module)
        self._symbols = {
            item.local: symbol
            for item in read_imports(module)
            if item.local not in declared and (symbol := names.imported_symbol(item)) is not None
        }
        self._scopes = Scopes(module.root, self._symbols.keys())

    def symbol_of(self, call: Node) -> Symbol | None:
        callee = call.child_by_field_name("function")
        if callee is None or callee.type != "identifier" or self._scopes.hides(callee):
            return None
        return self._symbols.get(text_of(callee))


def _first_callee(nodes: Iterable[Node], callees: _Callees) -> str:
    """Return the name of the first library function that the nodes call."""
    for node in nodes:
        for found in walk(node):
            callee = found.child_by_field_name("function")
            if callee is not None and callees.symbol_of(found) is not None:
                return text_of(callee)
    return "usage"
