"""TypeScript inside documents: fenced blocks of Markdown, code cells of notebooks.

Flows in: a document's text. Flows out: `CodeBlock`s with their place, headings and prose. What the
code means does not belong here.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt

_LANGUAGES = frozenset({"typescript", "ts"})
_FENCE: Final = re.compile(r"(?:```|~~~)[ \t]*(?:ts|typescript)\b", re.IGNORECASE)
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_MAX_LINES: Final = 20_000
"""Lines beyond which a text is no document that a person wrote (the longest of the real library has
700); reading Markdown takes time that grows faster than its length."""
_MAX_TITLE: Final = 2_000
"""Characters of a heading or paragraph that are looked at."""


@dataclass(frozen=True)
class CodeBlock:
    """One piece of TypeScript in a document."""

    text: str
    first_line: int
    """1-based line of the first code line: in the file for Markdown, in the cell for notebooks."""
    headings: tuple[str, ...]
    """Enclosing headings, outermost first."""
    prose: str
    """The paragraph right before the block, or nothing."""
    cell: int | None = None
    """0-based index among all cells of a notebook."""
    margins: tuple[int, ...] = ()
    """UTF-16 units before each code line in the file: the indent or quote marks of the fence."""


def markdown_blocks(text: str) -> list[CodeBlock]:
    """Return the ```typescript / ```ts blocks of a Markdown text, in order.

    Raises ValueError when the text is too long to be a document.
    """
    if not _FENCE.search(text):
        return []
    lines = _LINE_END.split(text)
    if len(lines) > _MAX_LINES:
        raise ValueError(f"more than {_MAX_LINES} lines")
    fences = _plain_fences(lines)
    readable = lines if fences is None else _without_code(lines, fences)
    blocks: list[CodeBlock] = []
    headings: list[tuple[int, str]] = []
    prose = ""
    tokens = _MARKDOWN.parse("\n".join(readable))
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            level = int(token.tag[1:])
            headings = [item for item in headings if item[0] < level]
            headings.append((level, tokens[index + 1].content))
            prose = ""
        elif token.type == "paragraph_open":
            prose = tokens[index + 1].content
        elif token.type == "fence" and _is_typescript(token.info) and token.map:
            first = token.map[0] + 1
            content = token.content
            if fences is not None:
                content = "".join(f"{line}\n" for line in lines[first : fences[first - 1]])
            blocks.append(
                CodeBlock(
                    text=content,
                    first_line=first + 1,
                    headings=tuple(plain_text(title) for _, title in headings),
                    prose=plain_text(prose),
                    margins=() if fences is not None else _margins(content, lines[first:]),
                )
            )
            prose = ""
    return blocks


# What stands inside a paragraph is not parsed: `plain_text` is all that headings need.
_MARKDOWN: Final = MarkdownIt("commonmark").disable("inline")
_OPENING: Final = re.compile(r"(`{3,})[^`]*\Z|(~{3,}).*\Z")
# Lines that may open a fence inside something else, or something that hides a fence.
_NOT_PLAIN: Final = re.compile(r"[ \t>*+\-0-9.)]+(?:```|~~~)| {0,3}<")


def _plain_fences(lines: list[str]) -> dict[int, int] | None:
    """Return opening line to closing line (0-based) of every fence of a plain document.

    Plain is where all fences start at the margin and nothing but a fence can hide one: no quoted,
    listed or indented fence and no HTML. Any other document gives None.
    """
    fences: dict[int, int] = {}
    if lines and not lines[-1]:
        # What follows the last line end is no line of a fence that is never closed.
        lines = lines[:-1]
    index = 0
    while index < len(lines):
        opening = _OPENING.match(lines[index])
        if opening is not None:
            mark = opening[1] or opening[2]
            closing = re.compile(rf" {{0,3}}{re.escape(mark)}{mark[0]}*[ \t]*\Z")
            end = index + 1
            while end < len(lines) and not closing.match(lines[end]):
                end += 1
            fences[index] = end
            index = end
        elif _NOT_PLAIN.match(lines[index]):
            return None
        index += 1
    return fences


def _without_code(lines: list[str], fences: dict[int, int]) -> list[str]:
    """Return the lines with those inside fences emptied."""
    emptied = list(lines)
    for first, end in fences.items():
        emptied[first + 1 : end] = [""] * (end - first - 1)
    return emptied


def _is_typescript(info: str) -> bool:
    """Tell whether a fence's info string (`ts`, `typescript title="x"`) names TypeScript."""
    return info.strip().lower().partition(" ")[0] in _LANGUAGES


def _margins(content: str, lines: list[str]) -> tuple[int, ...]:
    pairs = zip(content.split("\n"), lines, strict=False)
    return tuple(
        len(line.removesuffix(code).encode("utf-16-le")) // 2 if line.endswith(code) else 0
        for code, line in pairs
    )


def notebook_cells(text: str) -> list[CodeBlock]:
    """Return the code cells of a TypeScript notebook, in order.

    Raises ValueError when the text is not a notebook; a notebook in another language gives none.
    """
    try:
        notebook = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("not a notebook: no list of cells")  # noqa: TRY004 - bad data, not a bug
    if _notebook_language(notebook) not in _LANGUAGES:
        return []
    blocks: list[CodeBlock] = []
    headings: tuple[str, ...] = ()
    prose = ""
    for index, cell in enumerate(notebook["cells"]):
        if not isinstance(cell, dict):
            raise ValueError(f"cell {index} is not an object")  # noqa: TRY004 - bad data, not a bug
        source = cell.get("source", "")
        content = "".join(map(str, source)) if isinstance(source, list) else str(source)
        if cell.get("cell_type") == "markdown":
            titles = re.findall(r"^#+\s+(.*)$", content, flags=re.MULTILINE)
            headings = tuple(plain_text(title) for title in titles[-1:]) or headings
            paragraphs = [
                p for p in content.split("\n\n") if p.strip() and p.lstrip()[0] not in "#`"
            ]
            prose = plain_text(paragraphs[-1]) if paragraphs else ""
        elif cell.get("cell_type") == "code":
            blocks.append(CodeBlock(content, 1, headings, prose, index))
    return blocks


def _notebook_language(notebook: dict[str, object]) -> str:
    metadata = notebook.get("metadata")
    for key, field in (("language_info", "name"), ("kernelspec", "language")):
        info = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(info, dict) and field in info:
            return str(info[field]).lower()
    return ""


def plain_text(markdown: str) -> str:
    """Return one line of text without Markdown emphasis, links, images or emoji.

    What is longer than any heading or paragraph of a person is cut.
    """
    text = re.sub(r"!?\[([^\]\[]*)\]\([^)(]*\)", r"\1", markdown[:_MAX_TITLE])
    text = re.sub(r"\*{1,3}(\S(?:.*?\S)?)\*{1,3}", r"\1", text)
    text = re.sub(r"(?<!\w)_{1,3}(\S(?:.*?\S)?)_{1,3}(?!\w)", r"\1", text)
    text = re.sub(r"[\U0001F000-\U0001FAFF\u2600-\u27BF\u2B00-\u2BFF\uFE0F\u200D]", "", text)
    return re.sub(r"\s+", " ", text).strip()
