"""Which modules may be compiled beside others at all.

Flows in: a module's text. Flows out: the diagnostics that bar it (none: admitted). What is barred
would silence the compiler, reach outside the module, or change what other modules of the same
program mean; the compiler itself accepts it. Everything else is for the compiler to judge.
"""

import re
from collections.abc import Iterator

from tree_sitter import Node

from qi_pipeline.validation.syntax import (
    TRIVIA,
    ParsedModule,
    around,
    called_text,
    parse_module,
    span_of,
    string_value,
    unwrapped,
)
from qi_pipeline.validation.verdict import Diagnostic

OWN_CODE = 0
"""Diagnostic code of this package's own findings; the compiler's codes start at 1000."""
MAX_CHARACTERS = 64_000
"""Longest module that is judged; the largest real snippets are a quarter of it."""

MAX_DEPTH = 250
"""Levels of syntax in a module that is judged; the deepest real file has 40. It bounds every walk
up or down the tree."""

_SILENCER = re.compile(r"@ts-(?:nocheck|ignore|expect-error)\b")
_REFERENCE = re.compile(r"///[^\S\n]*+<")
_AUGMENTATION = re.compile(
    rf"(?<![\w$.])(?:declare{TRIVIA}(?:global|module)\b|global{TRIVIA}\{{|module{TRIVIA}[\"'])"
    rf"|(?<![\w$.])export{TRIVIA}as{TRIVIA}namespace\b"
)
_ESCAPE = re.compile(r"\\u")
_COMMENT = frozenset({"comment"})
_TEXTS = frozenset({"string", "template_string"})
_QUOTED = frozenset({"string_fragment", "string", "template_string", "regex_pattern"})

_SILENCER_MESSAGE = "switches the compiler off ({}); remove it and mend what it hides"
_REFERENCE_MESSAGE = "triple-slash directive; import what the module needs"
_AUGMENTATION_MESSAGE = "ambient augmentation ({}) changes other modules; declare a local type"
_ESCAPE_MESSAGE = "escaped character in a name; write the character itself"
_RELATIVE_MESSAGE = "imports {!r}; a module stands alone and may import packages only"
_GLOBALS_MESSAGE = "imports {!r}, which changes the globals of every module; import the names"
_SPECIFIER_MESSAGE = "imports {}, which is no text of a path; write the path out"
_REQUIRE_MESSAGE = "require() gives an untyped value; use an import"


def admit(text: str) -> tuple[ParsedModule | None, tuple[Diagnostic, ...]]:
    """Return the parsed module, or None with the reasons why `text` may not be compiled."""
    unreadable = _unreadable(text)
    if unreadable is not None:
        return None, (Diagnostic(code=OWN_CODE, line=1, column=1, message=unreadable),)
    module = parse_module(text)
    if module.nests_deeper_than(MAX_DEPTH):
        message = f"nests more than {MAX_DEPTH} levels deep; split the expression into statements"
        return None, (Diagnostic(code=OWN_CODE, line=1, column=1, message=message),)
    found = sorted(set(_findings(module)))
    diagnostics = tuple(_diagnostic(module, offset, message) for offset, message in found)
    return (None if diagnostics else module), diagnostics


def _unreadable(text: str) -> str | None:
    if len(text) > MAX_CHARACTERS:
        return f"module of {len(text)} characters; at most {MAX_CHARACTERS} are judged"
    if "\0" in text:
        return "holds a NUL character; this is not TypeScript source"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate; this is not Unicode text"
    return None


def _diagnostic(module: ParsedModule, offset: int, message: str) -> Diagnostic:
    line, column = module.position(offset)
    return Diagnostic(code=OWN_CODE, line=line, column=column, message=message)


def _findings(module: ParsedModule) -> Iterator[tuple[int, str]]:
    yield from _silencers(module)
    yield from _directives(module)
    yield from _augmentations(module)
    yield from _escapes(module)
    yield from _imports(module)


def _silencers(module: ParsedModule) -> Iterator[tuple[int, str]]:
    for match in _SILENCER.finditer(module.text):
        offset = module.offset_of(match.start())
        line = re.split(r"[\n\r]", module.text[: match.start()])[-1]
        said = line.rstrip("/* \t\ufeff")
        mark = line[len(said) :]
        # The compiler obeys it at the start of a comment and at the start of a comment's line;
        # in the middle of a sentence it is prose.
        obeyed = not said or "//" in mark or "/*" in mark
        if obeyed and not _lies_within(module, offset, _QUOTED):
            yield offset, _SILENCER_MESSAGE.format(match[0])


def _directives(module: ParsedModule) -> Iterator[tuple[int, str]]:
    for match in _REFERENCE.finditer(module.text):
        offset = module.offset_of(match.start())
        node = _node_at(module, offset)
        starts_comment = node is not None and node.type in _COMMENT and span_of(node)[0] == offset
        if starts_comment or module.tree.root_node.has_error:
            yield offset, _REFERENCE_MESSAGE


def _augmentations(module: ParsedModule) -> Iterator[tuple[int, str]]:
    for match in _AUGMENTATION.finditer(module.text):
        offset = module.offset_of(match.start())
        if not _lies_within(module, offset, _QUOTED | _COMMENT):
            yield offset, _AUGMENTATION_MESSAGE.format(" ".join(match[0].split()))


def _node_at(module: ParsedModule, offset: int) -> Node | None:
    return module.tree.root_node.descendant_for_byte_range(2 * offset, 2 * offset + 2)


def _escapes(module: ParsedModule) -> Iterator[tuple[int, str]]:
    # The compiler reads `gl\u006fbal` as the keyword, which no search for the word would find.
    for match in _ESCAPE.finditer(module.text):
        offset = module.offset_of(match.start())
        if not _lies_within(module, offset, _QUOTED | _COMMENT):
            yield offset, _ESCAPE_MESSAGE


def _lies_within(module: ParsedModule, offset: int, types: frozenset[str]) -> bool:
    """Tell whether `offset` is inside a node of `types`.

    In a text the parser did not understand nothing counts as inert: the compiler may read it
    differently, and a wrong rejection costs less than a wrong pass.
    """
    if module.tree.root_node.has_error:
        return False
    node = _node_at(module, offset)
    for outer in () if node is None else around(node):
        if outer.type in types:
            return True
        # A substitution is code again, though it lies inside a template.
        if outer.type == "template_substitution":
            return False
    return False


def _imports(module: ParsedModule) -> Iterator[tuple[int, str]]:
    for node, specifier in module.specifiers:
        value = string_value(module, specifier)
        offset = span_of(specifier)[0]
        if value is None:
            # An expression gives an untyped module; a text that cannot be read is another matter.
            if unwrapped(specifier).type in _TEXTS:
                yield offset, _SPECIFIER_MESSAGE.format(module.text_of(specifier))
            continue
        if value.startswith((".", "/", "file:")) or ".." in value.split("/"):
            yield offset, _RELATIVE_MESSAGE.format(value)
        elif value.endswith(("/globals", "/global")):
            yield offset, _GLOBALS_MESSAGE.format(value)
        elif node.type == "call_expression" and called_text(module, node) == "require":
            yield span_of(node)[0], _REQUIRE_MESSAGE
