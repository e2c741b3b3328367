"""TypeScript inside documents: fenced blocks of Markdown, code cells of notebooks.

Flows in: a document's text. Flows out: `CodeBlock`s with their place, headings and prose. What the
code means does not belong here.
"""

import json
import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

_LANGUAGES = frozenset({"typescript", "ts"})


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
    """Return the ```typescript / ```ts blocks of a Markdown text, in order."""
    blocks: list[CodeBlock] = []
    headings: list[tuple[int, str]] = []
    prose = ""
    # What stands inside a paragraph is not parsed: `plain_text` is all that headings need.
    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    lines = re.split(r"\r\n|\r|\n", text)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            level = int(token.tag[1:])
            headings = [item for item in headings if item[0] < level]
            headings.append((level, plain_text(tokens[index + 1].content)))
            prose = ""
        elif token.type == "paragraph_open":
            prose = plain_text(tokens[index + 1].content)
        elif token.type == "fence" and _is_typescript(token.info) and token.map:
            titles = tuple(title for _, title in headings)
            first = token.map[0] + 1
            margins = _margins(token.content, lines[first:])
            blocks.append(CodeBlock(token.content, first + 1, titles, prose, margins=margins))
            prose = ""
    return blocks


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
    """Return one line of text without Markdown emphasis, links, images or emoji."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"\*{1,3}(\S(?:.*?\S)?)\*{1,3}", r"\1", text)
    text = re.sub(r"(?<!\w)_{1,3}(\S(?:.*?\S)?)_{1,3}(?!\w)", r"\1", text)
    text = re.sub(r"[\U0001F000-\U0001FAFF\u2600-\u27BF\u2B00-\u2BFF\uFE0F\u200D]", "", text)
    return re.sub(r"\s+", " ", text).strip()
