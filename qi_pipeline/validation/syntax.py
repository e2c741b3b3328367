"""One TypeScript module as a syntax tree whose offsets are the compiler's.

Flows in: text. Flows out: a `ParsedModule`. The text is parsed as UTF-16, so that a node's byte
offset is twice the UTF-16 offset the compiler counts in. What a node means belongs to `admission`
and `rules`.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import takewhile
from typing import NamedTuple

import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Tree

from qi_pipeline.extraction.syntax import captures, may_nest_deeper, unordered_captures

FUNCTION_LITERALS = frozenset({"arrow_function", "function_expression", "generator_function"})
ASSERTIONS = frozenset({"as_expression", "type_assertion"})
_WRAPPERS = ASSERTIONS | {
    "parenthesized_expression",
    "satisfies_expression",
    "non_null_expression",
}
TRIVIA = r"(?:[\s\ufeff]|//[^\n]*\n|/\*(?:[^*]|\*(?!/))*+\*/)*+"
"""Regular expression of what may stand between two tokens; possessive, so it cannot run away."""
_LINE_END = re.compile("\r\n|\r|\n|\u2028|\u2029")
_ESCAPE = re.compile(
    r"\\(?:x(?P<byte>[0-9A-Fa-f]{2})|u(?P<unit>[0-9A-Fa-f]{4})|u\{(?P<point>[0-9A-Fa-f]+)\}"
    "|(?P<line>\r\n|[\r\n\u2028\u2029])|(?P<null>0(?![0-9]))|(?P<other>[^xu0-9])|(?P<wrong>.?))",
    re.DOTALL,
)
"""A backslash in a string literal, and what it stands for."""
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}
_FUNCTIONS = FUNCTION_LITERALS | {
    "function_declaration",
    "generator_function_declaration",
    "method_definition",
}
_CLASSES = frozenset({"class_declaration", "abstract_class_declaration"})
ACCESSES = ("member_expression", "subscript_expression")
NO_OFFSET = -1
"""Of a member whose name stands in a variable: there is no symbol to ask for."""
_IMPORTING = """
[(import_statement) (export_statement) (import_require_clause)] @statement
(call_expression) @call
"""


@cache
def _language() -> Language:
    return Language(tree_sitter_typescript.language_typescript())


class Access(NamedTuple):
    """`object.name` or `object["name"]`."""

    node: Node
    target: Node
    name: str
    offset: int
    """UTF-16 offset at which the compiler is asked for the member, or NO_OFFSET."""


@dataclass(frozen=True)
class ParsedModule:
    """A module's text and its syntax tree."""

    text: str
    tree: Tree

    @cached_property
    def utf16(self) -> bytes:
        """The text in the encoding its offsets count in."""
        return self.text.encode("utf-16-le")

    @cached_property
    def _by_type(self) -> dict[str, list[Node]]:
        """Every named node, by type, in no order."""
        groups: dict[str, list[Node]] = {}
        found = unordered_captures("(_) @named", self.tree.root_node)
        # An empty module is a node that no query finds.
        for node in found.get("named", ()):
            groups.setdefault(node.type, []).append(node)
        return groups

    @cached_property
    def _in_order(self) -> dict[str, list[Node]]:
        """The types that were asked for to their nodes, in source order."""
        return {}

    def nests_deeper_than(self, limit: int) -> bool:
        """Tell whether the syntax tree has more than `limit` levels."""
        if not may_nest_deeper(self.tree, limit):
            return False
        level = [self.tree.root_node]
        for _ in range(limit):
            level = [child for node in level for child in node.children]
        return bool(level)

    def of_type(self, *types: str) -> list[Node]:
        """Return the nodes of the given types, in source order within each type."""
        return [node for wanted in types for node in self._of_type(wanted)]

    def _of_type(self, wanted: str) -> list[Node]:
        found = self._in_order.get(wanted)
        if found is None:
            # Of nodes that start at one place the outer one comes first.
            found = self._by_type.get(wanted, [])
            found.sort(key=lambda node: (node.start_byte, -node.end_byte))
            self._in_order[wanted] = found
        return found

    @cached_property
    def specifiers(self) -> tuple[tuple[Node, Node], ...]:
        """Each node that imports a module, with the expression that names the module."""
        return tuple(_specifiers_of(self))

    @cached_property
    def access_at(self) -> dict[int, Access]:
        """Node id to the member access that the node is, if the member's name is written out."""
        return {
            node.id: access
            for node in self.of_type(*ACCESSES)
            for access in [_access_of(self, node)]
            if access is not None
        }

    @property
    def accesses(self) -> Collection[Access]:
        """The member accesses whose member's name is written out."""
        return self.access_at.values()

    @cached_property
    def _counts_alike(self) -> bool:
        """Whether every character is one UTF-16 unit."""
        return len(self.utf16) == 2 * len(self.text)

    def slice(self, start: int, end: int) -> str:
        """Return the text between two UTF-16 offsets."""
        if self._counts_alike:
            return self.text[start:end]
        return self.utf16[2 * start : 2 * end].decode("utf-16-le", errors="replace")

    def text_of(self, node: Node) -> str:
        """Return the source text of `node`."""
        return self.slice(*span_of(node))

    def offset_of(self, index: int) -> int:
        """Return the UTF-16 offset of the character at `index`."""
        return len(self.text[:index].encode("utf-16-le")) // 2

    @cached_property
    def listed_exports(self) -> frozenset[str]:
        """The module's own names in its `export { name }` lists."""
        names = (one.child_by_field_name("name") for one in self.of_type("export_specifier"))
        return frozenset(self.text_of(name) for name in names if name is not None)

    @cached_property
    def shorthands(self) -> dict[str, list[Node]]:
        """Each name to where an object literal takes what it means, as in `{ name }`."""
        found: dict[str, list[Node]] = {}
        for node in self.of_type("shorthand_property_identifier"):
            found.setdefault(self.text_of(node), []).append(node)
        return found

    @cached_property
    def _line_starts(self) -> list[int]:
        """The UTF-16 offset at which each line starts."""
        starts = [0]
        done = 0
        for end in _LINE_END.finditer(self.text):
            units = len(self.text[done : end.end()].encode("utf-16-le")) // 2
            starts.append(starts[-1] + units)
            done = end.end()
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column (in UTF-16 units) of a UTF-16 offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line_of(self, node: Node) -> int:
        """Return the 1-based line on which `node` starts."""
        return self.position(span_of(node)[0])[0]


def parse_module(text: str) -> ParsedModule:
    """Parse `text`, which must hold no lone surrogates; errors become ERROR nodes, never raise."""
    tree = Parser(_language()).parse(text.encode("utf-16-le"), encoding="utf16le")
    return ParsedModule(text, tree)


def span_of(node: Node) -> tuple[int, int]:
    """Return the UTF-16 offsets of the start and end of `node`."""
    return node.start_byte // 2, node.end_byte // 2


def around(node: Node) -> Iterator[Node]:
    """Yield `node`, the node around it, and so on up to the whole module."""
    current: Node | None = node
    while current is not None:
        yield current
        current = current.parent


def unwrapped(node: Node) -> Node:
    """Return the expression inside parentheses, assertions and `!`."""
    while (inner := _wrapped_by(node)) is not None:
        node = inner
    return node


def without_parentheses(node: Node) -> Node:
    """Return the expression inside parentheses only."""
    while node.type == "parenthesized_expression" and (inner := _wrapped_by(node)) is not None:
        node = inner
    return node


def is_wrapper(node: Node) -> bool:
    """Tell whether `node` is parentheses, an assertion or `!` around an expression."""
    return _wrapped_by(node) is not None


def _wrapped_by(node: Node) -> Node | None:
    if node.type not in _WRAPPERS:
        return None
    parts = [child for child in node.named_children if child.type != "comment"]
    # `<Type>value` has its type in front, every other wrapper behind.
    position = 1 if node.type == "type_assertion" else 0
    return parts[position] if position < len(parts) else None


def callee_of(call: Node) -> Node | None:
    """Return the called expression of a call or `new`, without its wrappers."""
    callee = call.child_by_field_name("function") or call.child_by_field_name("constructor")
    if callee is None:
        return None
    callee = unwrapped(callee)
    # `await f<T>(x)` is parsed as `(await f)<T>(x)`.
    if callee.type == "await_expression" and callee.named_children:
        callee = unwrapped(callee.named_children[0])
    return callee


def arguments_of(call: Node) -> list[Node]:
    """Return the argument expressions of a call, without comments."""
    arguments = call.child_by_field_name("arguments")
    if arguments is None or arguments.type != "arguments":
        return []
    return [child for child in arguments.named_children if child.type != "comment"]


def _access_of(module: ParsedModule, node: Node) -> Access | None:
    target = node.child_by_field_name("object")
    if target is None:
        return None
    if node.type == "member_expression":
        member = node.child_by_field_name("property")
        if member is None:
            return None
        return Access(node, target, module.text_of(member), span_of(member)[0])
    index = node.child_by_field_name("index")
    name = None if index is None else string_value(module, index)
    if index is None or name is None:
        return None
    return Access(node, target, name, span_of(unwrapped(index))[0] + 1)


def string_value(module: ParsedModule, node: Node) -> str | None:
    """Return the value of a string literal without substitutions, escapes decoded.

    None for anything else, and for an escape that is none of the language's.
    """
    node = unwrapped(node)
    if node.type not in {"string", "template_string"}:
        return None
    if any(child.type == "template_substitution" for child in node.named_children):
        return None
    return _unescaped(module.text_of(node)[1:-1])


def _unescaped(text: str) -> str | None:
    """Return what the text between quotes stands for; None if that is no Unicode text."""
    if any(match["wrong"] is not None for match in _ESCAPE.finditer(text)):
        return None
    try:
        units = _ESCAPE.sub(_meaning, text).encode("utf-16-le", errors="surrogatepass")
        return units.decode("utf-16-le")
    except (ValueError, OverflowError):
        # A half of a pair alone, or a number that is no character's.
        return None


def _meaning(escape: re.Match[str]) -> str:
    number = escape["byte"] or escape["unit"] or escape["point"]
    if number is not None:
        return chr(int(number, 16))
    if escape["null"] is not None:
        return "\0"
    other = escape["other"]
    return "" if other is None else _CONTROL.get(other, other)


def _specifiers_of(module: ParsedModule) -> Iterator[tuple[Node, Node]]:
    # A query, because a module that is not admitted needs no walk.
    found = captures(_IMPORTING, module.tree.root_node)
    for node in found.get("statement", ()):
        source = node.child_by_field_name("source")
        if source is not None:
            yield node, source
    for node in found.get("call", ()):
        if called_text(module, node) in {"import", "require"}:
            for argument in arguments_of(node)[:1]:
                yield node, argument


def called_text(module: ParsedModule, call: Node) -> str | None:
    """Return the source text of what a call calls."""
    callee = callee_of(call)
    return None if callee is None else module.text_of(callee)


def is_async(function: Node) -> bool:
    """Tell whether a function is marked `async`."""
    return function.type in _FUNCTIONS and any(child.type == "async" for child in function.children)


def is_generator(function: Node) -> bool:
    """Tell whether a function gives its values one by one."""
    return any(child.type in {"function*", "*"} for child in function.children) or (
        function.type.startswith("generator_function")
    )


def function_around(node: Node) -> Node | None:
    """Return the innermost function that `node` lies in, other than itself."""
    outer = node.parent
    if outer is None:
        return None
    return next((one for one in around(outer) if one.type in _FUNCTIONS), None)


def named_functions(module: ParsedModule) -> Iterator[tuple[Node, Node]]:
    """Yield each function that has a name of its own or is a variable's value, with that name.

    A constructor is called by the name of its class.
    """
    for node in module.of_type(
        "function_declaration", "generator_function_declaration", "variable_declarator"
    ):
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        function = node if value is None else unwrapped(value)
        if name is not None and name.type == "identifier" and function.type in _FUNCTIONS:
            yield function, name
    for node in module.of_type("class_declaration"):
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        for member in body.named_children if body is not None else ():
            own = member.child_by_field_name("name")
            if name is not None and own is not None and module.text_of(own) == "constructor":
                yield member, name


def exported_around(module: ParsedModule, node: Node) -> set[str]:
    """Return the exported function (`name`) or exported class's method (`Class.name`) around."""
    path = list(around(node))
    # From the outside in: the module, an export, what it declares.
    declared = [one for one in reversed(path[:-1]) if one.type != "export_statement"]
    if declared and declared[0].type in {"lexical_declaration", "variable_declaration"}:
        declared = declared[1:]
    name = declared[0].child_by_field_name("name") if declared else None
    if name is None or not is_exported(module, name):
        return set()
    if declared[0].type not in _CLASSES:
        return {module.text_of(name)}
    method = next((one for one in declared if one.type == "method_definition"), None)
    member = None if method is None else method.child_by_field_name("name")
    return set() if member is None else {f"{module.text_of(name)}.{module.text_of(member)}"}


def is_exported(module: ParsedModule, name: Node) -> bool:
    """Tell whether what is declared under `name` is exported, by the module or a namespace."""
    path = [node.type for node in around(name)][1:]
    declarations = (
        _FUNCTIONS
        | _CLASSES
        | {
            "variable_declarator",
            "lexical_declaration",
            "variable_declaration",
            "export_statement",
        }
    )
    # A name, what it declares, perhaps the statement of several, perhaps an export; no block.
    declaring = list(takewhile(declarations.__contains__, path))
    if not declaring or len(declaring) > 3:  # noqa: PLR2004
        return False
    is_top_level = len(path) == len(declaring) + 1
    is_listed = is_top_level and module.text_of(name) in module.listed_exports
    return declaring[-1] == "export_statement" or is_listed
