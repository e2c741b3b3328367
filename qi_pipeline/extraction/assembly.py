"""Make units complete modules: the imports, types and helpers they need, then their code, exported.

Flows in: a unit and the parsed snapshot. Flows out: module text. Relative imports are followed
inside the snapshot; what the library exports is imported from its package, never inlined. Where two
files use one name for different things, the one reached later is renamed. Code blocks of documents
belong to `blocks`.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from tree_sitter import Node

from qi_pipeline.extraction.exports import LibraryExports, declared_names
from qi_pipeline.extraction.import_lines import Imports, import_lines
from qi_pipeline.extraction.scopes import Scopes
from qi_pipeline.extraction.syntax import ancestors, text_of
from qi_pipeline.extraction.units import Unit, called_name, group_body

MAX_MODULE_LINES: Final = 500
"""Lines beyond which a unit with its helpers is nothing that a person would ask for. In the real
library 4% of the units are larger, up to 6,100 lines, most of them inlined; the longest that reads
as one example has 456."""

MAX_FILE_LINES: Final = 20_000
"""Lines that the units of one file may take together, helpers included. Units that share helpers
multiply them, and the work with them: in the real library a file takes up to 4,700."""


class UnfitUnitError(Exception):
    """A unit that is no pattern; the message is the reason."""


@dataclass(frozen=True)
class Assembled:
    """A unit as a complete module."""

    text: str
    dependencies: tuple[str, ...]
    """Specifiers of its imports, sorted."""
    files: tuple[str, ...]
    """The unit's file and those that helpers come from."""
    helpers: tuple[tuple[str, str], ...]
    """File and name of each declaration put in, sorted."""


class _Declared(NamedTuple):
    """A top-level declaration of the snapshot."""

    file: str
    name: str


class _Imported(NamedTuple):
    """Something that an import statement brings in."""

    specifier: str
    name: str
    """Exported name; `*` for a namespace, `default` for a default import."""
    second_name: str = ""
    """Set when the unit's file imports the same thing twice, say as a type and as a value."""


class _Meaning(NamedTuple):
    """What a top-level name of one file stands for."""

    declared: _Declared | None
    """The snapshot's declaration, if there is one."""
    thing: _Declared | _Imported
    """What a module that needs the name declares or imports."""
    type_only: bool


class _File:
    """What the top-level names of one file are."""

    def __init__(self, path: str, library: LibraryExports) -> None:
        self.module = library.modules[path]
        self.occurrences = library.occurrences_of(path)
        self.imports = library.imports_of(path)
        self.statements: dict[str, list[Node]] = {}
        """Declared name to its statements: overloads and a type beside its value share a name."""
        for statement in self.module.statements:
            for name, _, _ in declared_names(statement):
                known = self.statements.setdefault(name, [])
                if statement not in known:
                    known.append(statement)
        self.meanings: dict[str, _Meaning] = {}
        self.groups = frozenset(
            local
            for local, item in self.imports.items()
            if item.imported == "*"
            and item.specifier.startswith(".")
            and not library.exports_of_specifier(item.specifier, path)
        )
        """Local names of namespace imports of sibling files."""
        self._mentioned: dict[tuple[int, int], tuple[frozenset[str], frozenset[str]]] = {}
        self._setup: dict[int, list[tuple[Node, set[str]]]] = {}

    @cached_property
    def scopes(self) -> Scopes:
        """The free mentions of the file's top-level names."""
        return Scopes(self.occurrences, self.imports.keys() | self.statements.keys())

    def mentioned(self, nodes: Iterable[Node]) -> tuple[set[str], set[str]]:
        """Return the file's top-level names that `nodes` mention; members of groups too.

        The second set are those that stand anywhere but in a type.
        """
        names: set[str] = set()
        values: set[str] = set()
        for node in nodes:
            names_here, values_here = self._mentioned_in(node)
            names |= names_here
            values |= values_here
        return names, values

    def _mentioned_in(self, node: Node) -> tuple[frozenset[str], frozenset[str]]:
        place = (node.start_byte, node.end_byte)
        known = self._mentioned.get(place)
        if known is None:
            if self.groups:
                found = list(self._mentions(node))
                names = frozenset(name for name, _ in found)
                values = frozenset(n for n, at in found if at.type != "type_identifier")
            else:
                names, values = self.scopes.names_in(node), self.scopes.value_names_in(node)
            known = self._mentioned[place] = names, values
        return known

    def _mentions(self, node: Node) -> Iterator[tuple[str, Node]]:
        """Yield each name mentioned below a node, and the node that stands for it."""
        for mention in self.scopes.free_mentions(node):
            name = text_of(mention)
            if name not in self.groups:
                yield name, mention
                continue
            holder = mention.parent
            member = holder and (
                holder.child_by_field_name("property") or holder.child_by_field_name("name")
            )
            if holder is None or member is None or member == mention:
                yield f"{name}.*", mention
            else:
                yield f"{name}.{text_of(member)}", holder

    def text(self, node: Node, start: int, end: int, renamed: Mapping[str, str]) -> str:
        """Return the bytes of a stretch of `node` as text, under the names of the module."""
        source = self.module.source
        if not renamed:
            return source[start:end].decode()
        parts: list[bytes] = []
        for name, place in sorted(self._mentions(node), key=lambda item: item[1].start_byte):
            if name not in renamed or place.start_byte < start or place.end_byte > end:
                continue
            shorthand = place.type == "shorthand_property_identifier"
            new = f"{text_of(place)}: {renamed[name]}" if shorthand else renamed[name]
            parts += [source[start : place.start_byte], new.encode()]
            start = place.end_byte
        return b"".join([*parts, source[start:end]]).decode()

    @cached_property
    def hooks(self) -> tuple[Node, ...]:
        """The top-level calls that hold for every test of the file."""
        return tuple(c for c in self.module.statements if called_name(c) in _HOOKS)

    def setup(self, body: Node) -> list[tuple[Node, set[str]]]:
        """Return the statements of a describe body that are no tests, and what each declares."""
        if body.start_byte not in self._setup:
            self._setup[body.start_byte] = [
                (child, {name for name, _, _ in declared_names(child)})
                for child in body.named_children
                if child.type != "comment" and called_name(child) not in _CASES
            ]
        return self._setup[body.start_byte]

    @cached_property
    def _words(self) -> tuple[list[int], list[str]]:
        """Where each name of the file is written, and the name, in source order."""
        found = sorted(
            (node.start_byte, name)
            for name, nodes in self.occurrences.by_name.items()
            for node in nodes
        )
        return [start for start, _ in found], [name for _, name in found]

    def words(self, nodes: Iterable[Node]) -> set[str]:
        """Return every name written in the nodes."""
        starts, names = self._words
        found: set[str] = set()
        for node in nodes:
            first, last = bisect_left(starts, node.start_byte), bisect_left(starts, node.end_byte)
            found.update(names[first:last])
        return found


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
    helper_names: set[tuple[str, str]] = field(default_factory=set)
    """File and name of each declaration put in."""
    taken: set[str] = field(default_factory=set)
    """The names of the module."""
    lines: int = 0
    left: int = MAX_FILE_LINES
    """Lines that the unit's file has left for it."""

    def count(self, nodes: Iterable[Node]) -> None:
        """Count the lines of the unit or of a helper."""
        self.lines += sum(node.end_point.row - node.start_point.row + 1 for node in nodes)
        if self.lines > MAX_MODULE_LINES:
            raise UnfitUnitError(f"too large: over {MAX_MODULE_LINES} lines with its helpers")
        if self.lines > self.left:
            raise UnfitUnitError(
                f"its file is too large: over {MAX_FILE_LINES} lines with the helpers of each unit"
            )

    def name(self, thing: _Declared | _Imported, file: str, local: str) -> None:
        """Give `thing`, which `file` calls `local`, a name that nothing else has."""
        if thing not in self.names:
            wanted = local.rpartition(".")[2]
            name, count = wanted, 1
            while name in self.taken:
                count += 1
                name = f"{wanted}{count}"
            self.names[thing] = name
            self.taken.add(name)
        if self.names[thing] != local:
            self.renamed.setdefault(file, {})[local] = self.names[thing]


class ModuleAssembler:
    """Builds complete modules from the units of one snapshot."""

    def __init__(self, library: LibraryExports) -> None:
        """Use the parsed files and exports of `library`."""
        self._library = library
        self._files: dict[str, _File] = {}
        self._lines: Counter[str] = Counter()
        """File to the lines that its units took."""

    def assemble(self, unit: Unit) -> Assembled:
        """Return the unit as a complete module.

        Raises UnfitUnitError when that takes too many lines, alone or with the units of its file
        before it, or a relative import that the snapshot cannot resolve.
        """
        file = self._file(unit.file)
        own = [name for name, _, _ in declared_names(unit.statement)]
        draft = _Draft(
            frozenset(_Declared(unit.file, name) for name in own),
            left=MAX_FILE_LINES - self._lines[unit.file],
        )
        for name in own:
            draft.name(_Declared(unit.file, name), unit.file, name)
        test = _test_parts(unit, file) if unit.kind == "test" else None
        nodes = test.nodes if test else _statements(file, own)
        try:
            self._collect(unit.file, nodes, draft)
        finally:
            self._lines[unit.file] += draft.lines
        renamed = {
            name: new for name, new in draft.renamed.get(unit.file, {}).items() if "." in name
        }

        def text(node: Node, start: int, end: int) -> str:
            return file.text(node, start, end, renamed)

        code = test.render(text) if test else "\n\n".join(_exported(n, text) for n in nodes)
        helpers = [self._helper(draft, *key) for key in _in_order(draft)]
        return Assembled(
            text=_render(draft, helpers, code),
            dependencies=tuple(sorted({thing.specifier for thing in draft.imports})),
            files=tuple(draft.files),
            helpers=tuple(sorted(draft.helper_names)),
        )

    def internal_mentions(self, file: str, name: str) -> list[tuple[str, str]]:
        """Return file and name of what a declaration mentions and the library does not export."""
        known = self._file(file)
        found: list[tuple[str, str]] = []
        for local in sorted(known.mentioned(known.statements[name])[0]):
            # A namespace that is used as a value leads nowhere in particular.
            thing = None if local.endswith(".*") else self._meaning(file, local).thing
            if isinstance(thing, _Declared) and thing != _Declared(file, name):
                found.append((thing.file, thing.name))
        return found

    def statements_of(self, file: str, name: str) -> Sequence[Node]:
        """Return the statements of a file that declare a name."""
        return self._file(file).statements.get(name, ())

    def _collect(self, file: str, nodes: Sequence[Node], draft: _Draft) -> None:
        """Add to `draft` all that `nodes` of `file` mention, helpers of helpers included.

        Breadth first, so that names near the unit are kept and distant ones give way.
        """
        pending = deque([(file, nodes)])
        while pending:
            file, nodes = pending.popleft()
            draft.count(nodes)
            if file not in draft.files:
                draft.files.append(file)
            names, values = self._file(file).mentioned(nodes)
            for local in sorted(names):
                thing = self._noted(draft, file, local, as_type=local not in values)
                if isinstance(thing, _Declared) and thing not in draft.own:
                    statements = self._file(thing.file).statements[thing.name]
                    draft.helper_names.add((thing.file, thing.name))
                    added = {(thing.file, s.start_byte): s for s in statements}
                    if not added.keys() <= draft.helpers.keys():
                        draft.helpers.update(added)
                        pending.append((thing.file, statements))

    def _noted(
        self, draft: _Draft, file: str, local: str, *, as_type: bool
    ) -> _Declared | _Imported:
        """Name what `file` calls `local` in the draft, import it if need be, and return it."""
        declared, thing, type_only = self._meaning(file, local)
        if declared is not None and declared in draft.own:
            thing, type_only = declared, False
        if isinstance(thing, _Imported) and file == draft.files[0]:
            # The unit's own text is never renamed.
            known_as = draft.names.get(thing, local)
            if known_as != local:
                thing = thing._replace(second_name=local)
        draft.name(thing, file, local)
        if isinstance(thing, _Imported):
            if thing.specifier.startswith("."):
                raise UnfitUnitError(f"imports {thing.specifier}, which is no source file")
            draft.imports[thing] = (type_only or as_type) and draft.imports.get(thing, True)
        return thing

    def _file(self, path: str) -> _File:
        if path not in self._files:
            self._files[path] = _File(path, self._library)
        return self._files[path]

    def _meaning(self, file: str, local: str) -> _Meaning:
        """Return what a top-level name of a file stands for."""
        known = self._file(file).meanings
        if local not in known:
            if local in self._file(file).statements:
                known[local] = self._declared(file, local)
            else:
                known[local] = self._imported(file, local)
        return known[local]

    def _declared(self, file: str, local: str) -> _Meaning:
        declaration = self._library.declared_in(file)[local]
        symbol = self._library.symbol_of(declaration)
        own = _Declared(file, local)
        if symbol is None:
            return _Meaning(own, own, type_only=False)
        is_type = symbol.declaration.kind == "type"
        return _Meaning(own, _Imported(symbol.package, symbol.name), is_type)

    def _imported(self, file: str, local: str) -> _Meaning:
        group, _, member = local.partition(".")
        if member == "*":
            raise UnfitUnitError(f"uses {group}, the namespace of a sibling file, as a value")
        item = self._file(file).imports[group]
        imported = member or item.imported
        exports = self._library.exports_of_specifier(item.specifier, file)
        packages = {symbol.package for symbol in exports.values()}
        if imported == "*" and item.specifier.startswith(".") and len(packages) == 1:
            return _Meaning(None, _Imported(packages.pop(), "*"), item.type_only)
        target = self._library.declaration_of(item.specifier, file, imported)
        declared = _Declared(target.file, target.name) if target else None
        symbol = exports.get(imported)
        if symbol is not None:
            is_type = item.type_only or symbol.declaration.kind == "type"
            return _Meaning(declared, _Imported(symbol.package, symbol.name), is_type)
        if declared is None:
            return _Meaning(None, _Imported(item.specifier, imported), item.type_only)
        return _Meaning(declared, declared, item.type_only)

    def _helper(self, draft: _Draft, file: str, start: int) -> str:
        """Return a helper's statement without `export`, under the names of the module."""
        statement = _without_export(draft.helpers[file, start])
        renamed = draft.renamed.get(file, {})
        extent = (statement.start_byte, statement.end_byte)
        return self._file(file).text(statement, *extent, renamed)


def _statements(file: _File, names: Iterable[str]) -> list[Node]:
    """Return the statements that declare any of the names, in source order."""
    found = {node for name in names for node in file.statements[name]}
    return sorted(found, key=lambda node: node.start_byte)


def _in_order(draft: _Draft) -> list[tuple[str, int]]:
    """Return the helpers' keys, those of distant files first."""
    order = {file: rank for rank, file in enumerate(reversed(draft.files))}
    return sorted(draft.helpers, key=lambda key: (order[key[0]], key[1]))


_Text = Callable[[Node, int, int], str]
"""Gives the text of a stretch of a node, under the names of the module."""


def _exported(statement: Node, text: _Text) -> str:
    """Return a statement with its doc comment, exported."""
    code = text(statement, statement.start_byte, statement.end_byte)
    if statement.type != "export_statement":
        code = f"export {code}"
    previous = statement.prev_named_sibling
    if previous is not None and previous.type == "comment" and text_of(previous).startswith("/**"):
        return f"{text_of(previous)}\n{code}"
    return code


def _without_export(statement: Node) -> Node:
    if statement.type != "export_statement":
        return statement
    return statement.child_by_field_name("declaration") or statement


_HOOKS = frozenset({"beforeEach", "afterEach", "beforeAll", "afterAll", "vi"})


@dataclass(frozen=True)
class _TestParts:
    """A test inside its describe blocks with the setup it needs, sibling tests left out."""

    case: Node
    groups: tuple[tuple[Node, Node], ...]
    """Each describe statement and its body, innermost first."""
    hooks: tuple[Node, ...]
    """The top-level statements that hold for every test of the file."""
    needed: tuple[Node, ...]
    """The statements of the bodies that the test needs, in source order."""
    nodes: tuple[Node, ...]
    """All of these."""

    def render(self, text: _Text) -> str:
        """Return the code of the test."""

        def whole(node: Node) -> str:
            return text(node, node.start_byte, node.end_byte)

        code = _margin(self.case) + whole(self.case)
        for group, body in self.groups:
            inner = [_margin(child) + whole(child) for child in self.needed if child.parent == body]
            head = text(group, group.start_byte, body.start_byte)
            tail = text(group, body.end_byte, group.end_byte)
            lines = "".join(f"{part}\n\n" if "\n" in part else f"{part}\n" for part in inner)
            code = f"{_margin(group)}{head}{{\n{lines}{code}\n{_margin(group)}}}{tail}"
        return "\n\n".join([*(whole(hook) for hook in self.hooks), code])


def _test_parts(unit: Unit, file: _File) -> _TestParts:
    enclosing = list(ancestors(unit.statement))
    groups = [node for node in enclosing if node.type == "expression_statement"]
    bodies = [(group, body) for group in groups if (body := group_body(group)) is not None]
    nodes = [unit.statement]
    for group, body in bodies:
        nodes.extend(_outside(group, body))
    offered = [item for _, body in bodies for item in file.setup(body)]
    hooks = file.hooks
    needed = [child for child, names in offered if not names]
    nodes.extend([*hooks, *needed])
    waiting = [item for item in offered if item[1]]
    while True:
        mentioned = file.words(nodes)
        more = [child for child, names in waiting if names & mentioned]
        if not more:
            break
        needed.extend(more)
        nodes.extend(more)
        waiting = [item for item in waiting if item[0] not in more]
    return _TestParts(
        case=unit.statement,
        groups=tuple(bodies),
        hooks=hooks,
        needed=tuple(sorted(needed, key=lambda node: node.start_byte)),
        nodes=tuple(nodes),
    )


def _outside(group: Node, body: Node) -> list[Node]:
    """Return the parts of a describe statement beside its callback: `describe`, titles, tables."""
    call = group.named_children[0]
    function = call.child_by_field_name("function")
    arguments = call.child_by_field_name("arguments")
    beside = [a for a in arguments.named_children if body not in a.children] if arguments else []
    return [*([function] if function is not None else []), *beside]


_CASES = frozenset({"it", "test", "describe", "suite"})


def _margin(node: Node) -> str:
    """Return the white space that indents a node's first line."""
    block = node.parent
    before = block.text[: node.start_byte - block.start_byte] if block and block.text else b""
    line = before.rpartition(b"\n")[2].decode()
    return line if not line.strip() else ""


def _render(draft: _Draft, helpers: Iterable[str], code: str) -> str:
    imports: dict[str, dict[str, tuple[str, bool]]] = {}
    for thing, type_only in draft.imports.items():
        names = imports.setdefault(thing.specifier, {})
        names[draft.names[thing]] = (thing.name, type_only)
    return _module_text(imports, [*helpers, code])


def _module_text(imports: Imports, parts: Iterable[str]) -> str:
    text = "\n\n".join([*import_lines(imports), *parts])
    return text.replace("\r\n", "\n").strip() + "\n"
