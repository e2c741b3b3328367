"""TypeScript inside documents: fenced blocks of Markdown, code cells of notebooks.

Flows in: a document's text. Flows out: `CodeBlock`s with their place, headings and prose. What the
code means does not belong here.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

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
    return _any_blocks(lines) if fences is None else _plain_blocks(lines, fences)


class _Outline:
    """Where in a document one is: the headings around, and the paragraph before."""

    def __init__(self) -> None:
        self._headings: list[tuple[int, str]] = []
        self._prose = ""

    def heading(self, level: int, title: str) -> None:
        """Note a heading, which ends the section before."""
        self._headings = [item for item in self._headings if item[0] < level]
        self._headings.append((level, plain_text(title)))
        self._prose = ""

    def paragraph(self, content: str) -> None:
        """Note a paragraph, wherever it stands."""
        self._prose = content

    def block(self, content: str, first_line: int, margins: tuple[int, ...] = ()) -> CodeBlock:
        """Return a code block that stands here; the prose before it belongs to no other."""
        prose, self._prose = plain_text(self._prose), ""
        headings = tuple(title for _, title in self._headings)
        return CodeBlock(content, first_line, headings, prose, margins=margins)

    def follow(self, tokens: list[Token]) -> Iterator[Token]:
        """Note the headings and paragraphs of a parsed text; yield the TypeScript in between."""
        for index, token in enumerate(tokens):
            if token.type == "heading_open":
                self.heading(int(token.tag[1:]), tokens[index + 1].content)
            elif token.type == "paragraph_open":
                self.paragraph(tokens[index + 1].content)
            elif token.type == "fence" and token.map and _is_typescript(token.info):
                yield token


def _any_blocks(lines: list[str]) -> list[CodeBlock]:
    """Return the blocks of a document in which fences may stand inside something else."""
    outline = _Outline()
    blocks: list[CodeBlock] = []
    for token in outline.follow(_MARKDOWN.parse("\n".join(lines))):
        first = token.map[0] + 1 if token.map else 0
        margins = _margins(token.content, lines[first:])
        blocks.append(outline.block(token.content, first + 1, margins))
    return blocks


def _plain_blocks(lines: list[str], fences: Mapping[int, int]) -> list[CodeBlock]:
    """Return the blocks of a document all of whose fences start at the margin.

    Such a fence ends whatever stands before it, so what lies between two of them is read alone.
    """
    outline = _Outline()
    blocks: list[CodeBlock] = []
    done = 0
    for first, end in fences.items():
        _read_text(lines[done:first], outline)
        done = end + 1
        if _is_typescript(lines[first].lstrip("`~")):
            content = "".join(f"{line}\n" for line in lines[first + 1 : end])
            blocks.append(outline.block(content, first + 2))
    return blocks


def _read_text(lines: list[str], outline: _Outline) -> None:
    """Note the headings and paragraphs of a text without fences.

    A heading at the margin ends whatever stands before it, too.
    """
    section: list[str] = []
    for line in lines:
        marks = _HEADING.match(line)
        if marks is None:
            section.append(line)
            continue
        _read_section(section, outline)
        section = []
        title = line[marks.end() :].rstrip(" \t")
        unmarked = title.rstrip("#")
        outline.heading(
            len(marks[0]), (unmarked if unmarked.endswith((" ", "\t")) else title).strip()
        )
    _read_section(section, outline)


def _read_section(lines: list[str], outline: _Outline) -> None:
    if all(_PROSE_OR_BLANK.match(line) for line in lines):
        for blank, group in groupby(lines, key=lambda line: not line.strip(" \t")):
            if not blank:
                outline.paragraph("\n".join(group).strip())
    else:
        deque(outline.follow(_MARKDOWN.parse("\n".join(lines))), maxlen=0)


_HEADING: Final = re.compile(r"#{1,6}(?=[ \t]|\Z)")
# Lines that can be nothing but part of a paragraph: they start with a letter, emphasis or code.
_PROSE_OR_BLANK: Final = re.compile(r"[^\W\d_]|\*{1,2}\w|`|[ \t]*\Z")
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
    text = markdown[:_MAX_TITLE]
    if _MARKED.search(text):
        text = _LINK.sub(r"\1", text)
        text = _STARS.sub(r"\1", text)
        text = _UNDERSCORES.sub(r"\1", text)
        text = _EMOJI.sub("", text)
    return _WHITE_SPACE.sub(" ", text).strip()


_LINK: Final = re.compile(r"!?\[([^\]\[]*)\]\([^)(]*\)")
_STARS: Final = re.compile(r"\*{1,3}(\S(?:.*?\S)?)\*{1,3}")
_UNDERSCORES: Final = re.compile(r"(?<!\w)_{1,3}(\S(?:.*?\S)?)_{1,3}(?!\w)")
_EMOJI: Final = re.compile(r"[\U0001F000-\U0001FAFF\u2600-\u27BF\u2B00-\u2BFF\uFE0F\u200D]")
_WHITE_SPACE: Final = re.compile(r"\s+")
# What one of the expressions above begins with: most titles and paragraphs have none of it.
_MARKED: Final = re.compile(f"[\\[*_]|{_EMOJI.pattern}")
