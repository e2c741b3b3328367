"""Make units complete modules: the imports, types and helpers they need, then their code, exported.

Flows in: a unit and the parsed snapshot. Flows out: module text. Relative imports are followed
inside the snapshot; what the library exports is imported from its package, never inlined. Where
two files use one name for different things, the one reached later is renamed.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tree_sitter import Node

from qi_pipeline.extraction.exports import Import, LibraryExports, declared_names, read_imports
from qi_pipeline.extraction.scopes import Scopes
from qi_pipeline.extraction.syntax import Module, ancestors, text_of, walk
from qi_pipeline.extraction.units import Unit, called_name, group_body


@dataclass(frozen=True)
class _Declared:
    """A top-level declaration of the snapshot."""

    file: str
    name: str


@dataclass(frozen=True)
class _Imported:
    """Something that an import statement brings in."""

    specifier: str
    name: str
    """Exported name; `*` for a namespace, `default` for a default import."""
    second_name: str = ""
    """Set when the unit's file imports the same thing twice, say as a type and as a value."""


class _File:
    """What the top-level names of one file are."""

    def __init__(self, module: Module) -> None:
        self.imports: dict[str, Import] = {item.local: item for item in read_imports(module)}
        self.statements: dict[str, list[Node]] = {}
        """Declared name to its statements: overloads and a type beside its value share a name."""
        for statement in module.root.named_children:
            for name, _, _ in declared_names(statement):
                known = self.statements.setdefault(name, [])
                if statement not in known:
                    known.append(statement)
        self.scopes = Scopes(module.root, self.imports.keys() | self.statements.keys())
        self._mentioned: dict[tuple[int, int], frozenset[str]] = {}

    def mentioned(self, nodes: Iterable[Node]) -> list[str]:
        """Return the file's top-level names that `nodes` mention, sorted."""
        return sorted(frozenset().union(*map(self._mentioned_in, nodes)))

    def _mentioned_in(self, node: Node) -> frozenset[str]:
        place = (node.start_byte, node.end_byte)
        if place not in self._mentioned:
            mentions = self.scopes.free_mentions(node)
            self._mentioned[place] = frozenset(text_of(mention) for mention in mentions)
        return self._mentioned[place]


@dataclass
class _Draft:
    """The module being put together."""

    own: frozenset[_Declared]
    """What the unit itself declares."""
    imports: dict[_Imported, bool] = field(default_factory=dict)
    """What is imported to whether only types need it."""
    helpers: dict[tuple[str, int], Node] = field(default_factory=dict)
    """(file, start byte) of a statement to the statement."""
    files: list[str] = field(default_factory=list)
    """Files in the order they were reached."""
    names: dict[_Declared | _Imported, str] = field(default_factory=dict)
    """What a thing is called in the module."""
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)
    """File to its names that are called differently in the module."""

    def name(self, thing: _Declared | _Imported, file: str, local: str) -> None:
        """Give `thing`, which `file` calls `local`, a name that nothing else has."""
        if thing not in self.names:
            taken = set(self.names.values())
            name, count = local, 1
            while name in taken:
                count += 1
                name = f"{local}{count}"
            self.names[thing] = name
        if self.names[thing] != local:
            self.renamed.setdefault(file, {})[local] = self.names[thing]


class ModuleAssembler:
    """Builds complete modules from the units of one snapshot."""

    def __init__(self, library: LibraryExports) -> None:
        """Use the parsed files and exports of `library`."""
        self._library = library
        self._files: dict[str, _File] = {}

    def assemble(self, unit: Unit) -> str:
        """Return the unit as a complete module."""
        file = self._file(unit.file)
        own = [name for name, _, _ in declared_names(unit.statement)]
        draft = _Draft(frozenset(_Declared(unit.file, name) for name in own))
        for name in own:
            draft.name(_Declared(unit.file, name), unit.file, name)
        if unit.kind == "test":
            code, nodes = _test_with_setup(unit)
        else:
            nodes = sorted(
                {node for name in own for node in file.statements[name]},
                key=lambda node: node.start_byte,
            )
            code = "\n\n".join(_exported(node) for node in nodes)
        self._collect(unit.file, nodes, draft)
        return _render(draft, [self._helper(draft, *key) for key in _in_order(draft)], code)

    def _collect(self, file: str, nodes: Sequence[Node], draft: _Draft) -> None:
        """Add to `draft` all that `nodes` of `file` mention, helpers of helpers included.

        Breadth first, so that names near the unit are kept and distant ones give way.
        """
        pending = deque([(file, nodes)])
        while pending:
            file, nodes = pending.popleft()
            if file not in draft.files:
                draft.files.append(file)
            for local in self._file(file).mentioned(nodes):
                thing, type_only = self._meaning(file, local, draft)
                if isinstance(thing, _Imported) and file == draft.files[0]:
                    # The unit's own text is never renamed.
                    known_as = draft.names.get(thing, local)
                    thing = replace(thing, second_name="" if known_as == local else local)
                draft.name(thing, file, local)
                if isinstance(thing, _Imported):
                    draft.imports[thing] = type_only and draft.imports.get(thing, True)
                elif thing not in draft.own:
                    statements = self._file(thing.file).statements[thing.name]
                    added = {(thing.file, s.start_byte): s for s in statements}
                    if not added.keys() <= draft.helpers.keys():
                        draft.helpers.update(added)
                        pending.append((thing.file, statements))

    def _file(self, path: str) -> _File:
        if path not in self._files:
            self._files[path] = _File(self._library.modules[path])
        return self._files[path]

    def _meaning(self, file: str, local: str, draft: _Draft) -> tuple[_Declared | _Imported, bool]:
        """Return what a top-level name of a file stands for, and whether it is but a type."""
        item = None
        if local in self._file(file).statements:
            thing = _Declared(file, local)
        else:
            item = self._file(file).imports[local]
            target = self._library.declaration_of(item.specifier, file, item.imported)
            thing = _Declared(target.file, target.name) if target else _Declared("", "")
        if thing in draft.own:
            return thing, False
        if item is None:
            declaration = self._library.declared_in(file)[local]
            symbol = self._library.symbol_of(declaration)
        else:
            symbol = self._library.exports_of_specifier(item.specifier, file).get(item.imported)
        type_only = item is not None and item.type_only
        if symbol is not None:
            type_only = type_only or symbol.declaration.kind == "type"
            return _Imported(symbol.package, symbol.name), type_only
        if item is not None and not thing.file:
            return _Imported(item.specifier, item.imported), type_only
        return thing, False

    def _helper(self, draft: _Draft, file: str, start: int) -> str:
        """Return a helper's statement without `export`, under the names of the module."""
        statement = _without_export(draft.helpers[file, start])
        renamed = draft.renamed.get(file)
        if not renamed:
            return text_of(statement)
        source = text_of(statement).encode()
        mentions = sorted(self._file(file).scopes.free_mentions(statement), key=_start)
        for mention in reversed(mentions):
            name = renamed.get(text_of(mention))
            if name is None:
                continue
            shorthand = mention.type == "shorthand_property_identifier"
            new = f"{text_of(mention)}: {name}" if shorthand else name
            first, last = (b - statement.start_byte for b in (mention.start_byte, mention.end_byte))
            source = source[:first] + new.encode() + source[last:]
        return source.decode()


def _start(node: Node) -> int:
    return node.start_byte


def _in_order(draft: _Draft) -> list[tuple[str, int]]:
    """Return the helpers' keys, those of distant files first."""
    order = {file: rank for rank, file in enumerate(reversed(draft.files))}
    return sorted(draft.helpers, key=lambda key: (order[key[0]], key[1]))


def _documented(statement: Node) -> str:
    """Return the statement's text with its doc comment."""
    previous = statement.prev_named_sibling
    text = text_of(statement)
    if previous is not None and previous.type == "comment" and text_of(previous).startswith("/**"):
        return f"{text_of(previous)}\n{text}"
    return text


def _exported(statement: Node) -> str:
    text = _documented(statement)
    if statement.type == "export_statement":
        return text
    start = len(text) - len(text_of(statement))
    return f"{text[:start]}export {text[start:]}"


def _without_export(statement: Node) -> Node:
    if statement.type != "export_statement":
        return statement
    return statement.child_by_field_name("declaration") or statement


_HOOKS = frozenset({"beforeEach", "afterEach", "beforeAll", "afterAll", "vi"})


def _test_with_setup(unit: Unit) -> tuple[str, list[Node]]:
    """Return a test inside its describe blocks with the setup it needs, sibling tests left out."""
    groups = [node for node in ancestors(unit.statement) if node.type == "expression_statement"]
    bodies = [(group, body) for group in groups if (body := group_body(group)) is not None]
    nodes = [unit.statement]
    for group, body in bodies:
        nodes.extend(_outside(group, body))
    offered = [child for _, body in bodies for child in body.named_children if _is_setup(child)]
    root = list(ancestors(unit.statement))[-1]
    hooks = [child for child in root.named_children if called_name(child) in _HOOKS]
    needed = [*hooks, *(child for child in offered if not _setup_names(child))]
    nodes.extend(needed)
    while True:
        mentioned = {name for node in nodes for name in _words(node)}
        more = [c for c in offered if c not in needed and _setup_names(c) & mentioned]
        if not more:
            break
        needed.extend(more)
        nodes.extend(more)
    code = _indented(unit.statement)
    for group, body in bodies:
        source = group.text or b""
        start, end = body.start_byte - group.start_byte, body.end_byte - group.start_byte
        inner = [_indented(child) for child in body.named_children if child in needed]
        head, tail = source[:start].decode(), source[end:].decode()
        lines = "".join(f"{part}\n\n" if "\n" in part else f"{part}\n" for part in inner)
        code = f"{_margin(group)}{head}{{\n{lines}{code}\n{_margin(group)}}}{tail}"
    return "\n\n".join([*(text_of(hook) for hook in hooks), code]), nodes


def _outside(group: Node, body: Node) -> list[Node]:
    """Return the parts of a describe statement beside its callback: `describe`, titles, tables."""
    call = group.named_children[0]
    function = call.child_by_field_name("function")
    arguments = call.child_by_field_name("arguments")
    beside = [a for a in arguments.named_children if body not in a.children] if arguments else []
    return [*([function] if function is not None else []), *beside]


def _is_setup(child: Node) -> bool:
    return child.type != "comment" and called_name(child) not in _CASES


_CASES = frozenset({"it", "test", "describe", "suite"})


def _setup_names(statement: Node) -> set[str]:
    return {name for name, _, _ in declared_names(statement)}


def _words(node: Node) -> set[str]:
    return {text_of(child) for child in walk(node) if child.type in _NAME_TYPES}


_NAME_TYPES = frozenset({"identifier", "type_identifier", "shorthand_property_identifier"})


def _margin(node: Node) -> str:
    """Return the white space that indents a node's first line."""
    block = node.parent
    before = block.text[: node.start_byte - block.start_byte] if block and block.text else b""
    line = before.rpartition(b"\n")[2].decode()
    return line if not line.strip() else ""


def _indented(node: Node) -> str:
    return _margin(node) + text_of(node)


def _render(draft: _Draft, helpers: Iterable[str], code: str) -> str:
    imports: dict[str, dict[str, tuple[str, bool]]] = {}
    for thing, type_only in draft.imports.items():
        names = imports.setdefault(thing.specifier, {})
        names[draft.names[thing]] = (thing.name, type_only)
    return _module_text(imports, [*helpers, code])


def _module_text(
    imports: Mapping[str, Mapping[str, tuple[str, bool]]], parts: Iterable[str]
) -> str:
    text = "\n\n".join([*_import_lines(imports), *parts])
    return text.replace("\r\n", "\n").strip() + "\n"


def _import_lines(imports: Mapping[str, Mapping[str, tuple[str, bool]]]) -> list[str]:
    """Return the import statements of specifier to local name to (exported name, type only)."""
    lines: list[str] = []
    for specifier in sorted(imports, key=lambda s: (not s.startswith("@"), s)):
        names = imports[specifier]
        named: list[str] = []
        for local, (imported, type_only) in sorted(names.items()):
            prefix = "import type" if type_only else "import"
            if imported == "*":
                lines.append(f'{prefix} * as {local} from "{specifier}";')
            elif imported == "default":
                lines.append(f'{prefix} {local} from "{specifier}";')
            else:
                alias = f"{imported} as {local}" if imported != local else local
                named.append(f"type {alias}" if type_only else alias)
        if named:
            lines.append(_named_import(named, specifier))
    return ["\n".join(lines)] if lines else []


_LINE_WIDTH = 100


def _named_import(named: list[str], specifier: str) -> str:
    if all(name.startswith("type ") for name in named):
        names = ", ".join(name.removeprefix("type ") for name in named)
        line = f'import type {{ {names} }} from "{specifier}";'
    else:
        line = f'import {{ {", ".join(named)} }} from "{specifier}";'
    if len(line) <= _LINE_WIDTH:
        return line
    head, _, rest = line.partition("{ ")
    names, _, tail = rest.rpartition(" }")
    wrapped = names.replace(", ", ",\n  ")
    return f"{head}{{\n  {wrapped},\n}}{tail}"


def complete_block(module: Module, library: LibraryExports) -> str:
    """Return a document's code block as a module.

    A block without any import gets imports for the library names it uses and does not declare; a
    block that exports nothing exports its top-level declarations.
    """
    statements = module.root.named_children
    text = module.text.strip("\n")
    if not any(s.type == "export_statement" for s in statements):
        text = _with_exports(module)
    if any(s.type == "import_statement" for s in statements):
        return _module_text({}, [text])
    declared = {name for s in statements for name, _, _ in declared_names(s)}
    known = library.names_anywhere()
    scopes = Scopes(module.root, known.keys() - declared)
    imports: dict[str, dict[str, tuple[str, bool]]] = {}
    for name in sorted({text_of(mention) for mention in scopes.free_mentions(module.root)}):
        symbol = known[name]
        names = imports.setdefault(symbol.package, {})
        names[name] = (symbol.name, symbol.declaration.kind == "type")
    return _module_text(imports, [text])


_EXPORTABLE = frozenset(
    {
        "function_declaration",
        "class_declaration",
        "abstract_class_declaration",
        "interface_declaration",
        "type_alias_declaration",
        "lexical_declaration",
    }
)


def _with_exports(module: Module) -> str:
    source = module.source
    for statement in reversed(module.root.named_children):
        if statement.type in _EXPORTABLE and _is_definition(statement):
            source = source[: statement.start_byte] + b"export " + source[statement.start_byte :]
    return source.decode().strip("\n")


def _is_definition(statement: Node) -> bool:
    """Tell definitions (functions, classes, types) from the running example's plain values."""
    kinds = [kind for _, kind, _ in declared_names(statement)]
    return bool(kinds) and all(kind in ("function", "class", "type") for kind in kinds)
