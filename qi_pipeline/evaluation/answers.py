"""Find the TypeScript module inside a model's answer, by parsing.

Flows in: the text a model wrote, prose and fences included. Flows out: the code, how it was found,
and which imports were completed. Candidates are told apart by the TypeScript grammar rather than
by their looks, as EvalPlus does (`evalplus/sanitize.py`). Judging the code does not belong here.
"""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from tree_sitter import Node

from qi_pipeline.extraction.syntax import Module, parse_module, syntax_error_line
from qi_pipeline.validation.module_imports import import_mentioned
from qi_pipeline.validation.names import LibraryNames

How = Literal["fence", "span", "none"]

_LANGUAGES = frozenset(
    ("ts", "typescript", "tsx", "mts", "cts", "js", "javascript", "jsx", "mjs", "cjs")
)
_DECLARATIONS = frozenset(
    (
        "import_statement",
        "export_statement",
        "function_declaration",
        "generator_function_declaration",
        "class_declaration",
        "abstract_class_declaration",
        "interface_declaration",
        "type_alias_declaration",
        "enum_declaration",
        "lexical_declaration",
        "variable_declaration",
        "ambient_declaration",
        "internal_module",
    )
)
_STATEMENT_OPENINGS = (
    "import",
    "export",
    "const",
    "let",
    "var",
    "function",
    "async",
    "class",
    "abstract",
    "interface",
    "type",
    "enum",
    "declare",
    "namespace",
    "//",
    "/*",
    "@",
)
_CODE_EXPRESSIONS = frozenset(
    ("call_expression", "await_expression", "assignment_expression", "new_expression")
)
# Bounds of the span search, which has O(lines squared) candidates: a model caught in a loop writes
# hundreds of lines of which none parses. The longest candidates come first, so what the budget
# leaves out are short fragments.
_MOST_LINES_SEARCHED = 400
_MOST_CHARACTERS_PARSED = 2_000_000
_FENCE_LENGTH = 3


@dataclass(frozen=True)
class ExtractedCode:
    """The code of one answer."""

    code: str
    how: How
    """`fence`: a fenced block that parses; `span`: lines that parse; `none`: nothing parses."""
    imports_added: tuple[str, ...] = ()
    """Library names whose imports were completed, sorted."""


@dataclass(frozen=True)
class _Block:
    language: str
    text: str


def extract_code(answer: str) -> ExtractedCode:
    """Return the TypeScript module that `answer` holds.

    In order: the last fenced block that parses (blocks labelled TypeScript or JavaScript before
    unlabelled ones, blocks that export something before usage examples; a fence may be unclosed),
    the longest run of lines that parses and declares or imports something, the last code block as
    it is (its syntax errors are the model's own; the fence's would be ours), the answer as it is.
    """
    blocks, segments = _split_fences(answer)
    block = _best_block(blocks)
    if block is not None:
        return ExtractedCode(block, "fence")
    span = max((_longest_span(segment) for segment in segments), key=len, default="")
    if span:
        return ExtractedCode(span, "span")
    broken = [block.text for block in blocks if _may_be_code(block) and block.text.strip()]
    return ExtractedCode(broken[-1] if broken else answer, "none")


def complete_imports(found: ExtractedCode, names: LibraryNames) -> ExtractedCode:
    """Return the code with the library's names imported, when it imports nothing whatsoever.

    A model that leaves out every import was not asked for them in what it learned from; one that
    writes some and forgets others has made a mistake, which stays. Code that does not parse stays
    as it is.
    """
    module = parse_module(found.code)
    if syntax_error_line(module) is not None or _imports_something(module):
        return found
    code, added = import_mentioned(found.code, names)
    return replace(found, code=code, imports_added=added) if added else found


def _imports_something(module: Module) -> bool:
    return any(
        node.type == "import_statement"
        or (node.type == "export_statement" and node.child_by_field_name("source") is not None)
        for node in module.root.named_children
    )


def _fence(line: str) -> tuple[str, str] | None:
    """Return (fence characters, info string) when the line is a code fence.

    CommonMark 4.5, except that any indentation counts: models put blocks into nested lists.
    """
    stripped = line.strip()
    if not stripped or stripped[0] not in "`~":
        return None
    mark = stripped[0]
    info = stripped.lstrip(mark)
    length = len(stripped) - len(info)
    if length < _FENCE_LENGTH or (mark == "`" and "`" in info):
        return None
    return mark * length, info.strip()


def _split_fences(answer: str) -> tuple[list[_Block], list[str]]:
    """Return the fenced blocks, and all runs of lines between fences (fenced ones included)."""
    blocks: list[_Block] = []
    segments: list[str] = []
    opening: tuple[str, str] | None = None
    lines: list[str] = []

    def finish() -> None:
        text = "".join(lines)
        segments.append(text)
        if opening is not None:
            words = opening[1].replace("{", " ").replace(":", " ").split()
            blocks.append(_Block(words[0].lower() if words else "", text))
        lines.clear()

    for line in answer.splitlines(keepends=True):
        fence = _fence(line)
        if fence is not None and opening is None:
            finish()
            opening = fence
        elif fence is not None and opening is not None and _closes(fence, opening):
            finish()
            opening = None
        else:
            lines.append(line)
    finish()
    return blocks, segments


def _closes(fence: tuple[str, str], opening: tuple[str, str]) -> bool:
    return not fence[1] and fence[0].startswith(opening[0])


def _best_block(blocks: list[_Block]) -> str | None:
    """Return the text of the last parsing block of the best kind, or None."""
    ranked: list[tuple[int, int, str]] = []
    for number, block in enumerate(blocks):
        if not _may_be_code(block):
            continue
        module = parse_module(block.text)
        rank = _rank(module, labelled=bool(block.language))
        if rank and syntax_error_line(module) is None:
            ranked.append((rank, number, block.text))
    return max(ranked)[2] if ranked else None


def _may_be_code(block: _Block) -> bool:
    return not block.language or block.language in _LANGUAGES


def _rank(module: Module, *, labelled: bool) -> int:
    """Return how likely the block is the module asked for; 0 when it is not code at all."""
    if not _declares(module):
        return int(labelled and module.root.named_child_count > 0)
    exports = any(node.type == "export_statement" for node in module.root.named_children)
    return 2 + 2 * labelled + exports


def _declares(module: Module) -> bool:
    return any(node.type in _DECLARATIONS for node in module.root.named_children)


def _longest_span(text: str) -> str:
    """Return the longest run of lines that parses and declares something, or an empty string."""
    lines = text.splitlines(keepends=True)[:_MOST_LINES_SEARCHED]
    best = ""
    budget = _MOST_CHARACTERS_PARSED
    for length, start, end in _candidate_spans(lines):
        budget -= length
        if length <= len(best) or budget < 0:
            break
        module = parse_module("".join(lines[start:end]))
        if syntax_error_line(module) is None and _declares(module):
            best = max(best, _without_prose(module), key=len)
    return best


def _candidate_spans(lines: list[str]) -> list[tuple[int, int, int]]:
    """Return (characters, start, end) of the line ranges that can be a module, longest first."""
    offsets = list(accumulate(map(len, lines), initial=0))
    openings = [n for n, line in enumerate(lines) if line.lstrip().startswith(_STATEMENT_OPENINGS)]
    endings = [n + 1 for n, line in enumerate(lines) if line.strip()]
    spans = [
        (offsets[end] - offsets[start], start, end)
        for start in openings
        for end in endings
        if end > start
    ]
    return sorted(spans, key=lambda span: (-span[0], span[1]))


def _without_prose(module: Module) -> str:
    """Return the text without leading or trailing words that only happen to parse ("Done")."""
    nodes = module.root.named_children
    while nodes and _is_prose(nodes[-1]):
        nodes = nodes[:-1]
    while nodes and _is_prose(nodes[0]):
        nodes = nodes[1:]
    if not nodes:
        return ""
    end = module.source.find(b"\n", nodes[-1].end_byte)
    stop = len(module.source) if end < 0 else end + 1
    return module.source[nodes[0].start_byte : stop].decode(errors="replace")


def _is_prose(node: Node) -> bool:
    if node.type == "labeled_statement":
        return True
    if node.type != "expression_statement":
        return False
    return not any(child.type in _CODE_EXPRESSIONS for child in node.named_children)
