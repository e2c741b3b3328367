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


def markdown_blocks(text: str) -> list[CodeBlock]:
    """Return the ```typescript / ```ts blocks of a Markdown text, in order."""
    blocks: list[CodeBlock] = []
    headings: list[tuple[int, str]] = []
    prose = ""
    tokens = MarkdownIt("commonmark").parse(text)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            level = int(token.tag[1:])
            headings = [item for item in headings if item[0] < level]
            headings.append((level, plain_text(tokens[index + 1].content)))
            prose = ""
        elif token.type == "paragraph_open":
            prose = plain_text(tokens[index + 1].content)
        elif token.type == "fence" and token.info.strip().lower() in _LANGUAGES and token.map:
            titles = tuple(title for _, title in headings)
            blocks.append(CodeBlock(token.content, token.map[0] + 2, titles, prose))
            prose = ""
    return blocks


def notebook_cells(text: str) -> list[CodeBlock]:
    """Return the code cells of a TypeScript notebook, in order.

    Raises ValueError when the text is not a notebook; a notebook in another language gives none.
    """
    notebook = json.loads(text)
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("not a notebook: no list of cells")  # noqa: TRY004 - bad data, not a bug
    if _notebook_language(notebook) not in _LANGUAGES:
        return []
    blocks: list[CodeBlock] = []
    headings: tuple[str, ...] = ()
    prose = ""
    for index, cell in enumerate(notebook["cells"]):
        source = cell.get("source", "")
        content = "".join(source) if isinstance(source, list) else str(source)
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
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = info.get("name") if isinstance(info, dict) else None
    return str(name).lower()


def plain_text(markdown: str) -> str:
    """Return one line of text without Markdown emphasis, links, images or emoji."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"[*_]{1,3}(\S(?:.*?\S)?)[*_]{1,3}", r"\1", text)
    text = re.sub(r"[\U0001F000-\U0001FAFF\u2600-\u27BF\uFE0F]", "", text)
    return re.sub(r"\s+", " ", text).strip()
