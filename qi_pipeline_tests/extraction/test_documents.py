"""TypeScript in Markdown and notebooks: which blocks, where, under what."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from qi_pipeline.extraction.documents import markdown_blocks, notebook_cells, plain_text
from qi_pipeline_tests.extraction.planted import DOC, extract


def notebook(
    *cells: object, language: str | None = "typescript", key: str = "language_info"
) -> str:
    field = "name" if key == "language_info" else "language"
    metadata = {key: {field: language}} if language else {}
    return json.dumps({"cells": cells, "metadata": metadata})


def code(source: object) -> dict[str, object]:
    return {"cell_type": "code", "source": source}


@pytest.mark.parametrize("info", ["ts", "typescript", "TypeScript", 'ts title="x"', " typescript "])
def test_both_names_of_the_language_open_a_block(info: str) -> None:
    assert [b.text for b in markdown_blocks(f"```{info}\na()\n```")] == ["a()\n"]


@pytest.mark.parametrize("info", ["", "js", "tsx", "typescriptish", "json", "text ts"])
def test_other_languages_are_left_out(info: str) -> None:
    assert markdown_blocks(f"```{info}\na()\n```") == []


def test_a_block_knows_its_headings_and_the_paragraph_before_it() -> None:
    text = (
        "# One\n\n## *Two*\n\nFirst.\n\nSee [this](x).\n\n```ts\na()\n```\n\n```ts\nb()\n```\n"
        "\n## Three\n\n```ts\nc()\n```"
    )
    first, second, third = markdown_blocks(text)
    assert (first.headings, first.prose) == (("One", "Two"), "See this.")
    assert (second.headings, second.prose) == (("One", "Two"), "")
    assert (third.headings, third.prose) == (("One", "Three"), "")


@pytest.mark.parametrize(
    ("text", "line", "content"),
    [
        ("```ts\na()\n```", 2, "a()\n"),
        ("x\n\n~~~ts\na()\n~~~", 4, "a()\n"),
        ("- one\n  - two\n\n    ```ts\n    a()\n      b()\n    ```\n", 5, "a()\n  b()\n"),
        ("  ```ts\n  a()\n  ```", 2, "a()\n"),
        ("> ```ts\n> a()\n> ```", 2, "a()\n"),
        ("x\r\n\r\n```ts\r\na()\r\n```\r\n", 4, "a()\n"),
        ("```ts\na()\n", 2, "a()\n"),
        ("````ts\n```\n````", 2, "```\n"),
        ("```ts\n```", 2, ""),
    ],
)
def test_a_fence_gives_its_code_and_first_line(text: str, line: int, content: str) -> None:
    (block,) = markdown_blocks(text)
    assert (block.first_line, block.text) == (line, content)


@pytest.mark.parametrize("before", ["", "  ", "> ", "> \N{PARTY POPPER} `x`\n> \n> "])
def test_calls_in_fences_are_placed_by_their_column_in_the_file(
    before: str, tmp_path: Path
) -> None:
    mark = before.rpartition("\n")[2]
    text = (
        f'{before}```ts\n{mark}import {{ success }} from "@qi/base"\n{mark}  success(1)\n{mark}```'
    )
    (call,) = (c for c in extract(tmp_path, {DOC: text}).calls if c.file == DOC)
    lines = text.split("\n")
    assert lines[call.call.line - 1][call.call.column - 1 :] == "success(1)"


def test_notebook_sources_may_be_text_or_a_list_of_lines() -> None:
    cells = notebook_cells(notebook(code("a()\nb()"), code(["a()\n", "b()"])))
    assert [cell.text for cell in cells] == ["a()\nb()", "a()\nb()"]
    assert [cell.cell for cell in cells] == [0, 1]


def test_a_cell_knows_the_last_heading_and_paragraph_above_it() -> None:
    above = {"cell_type": "markdown", "source": ["# Top\n", "\n", "## Results\n", "\n", "Why."]}
    (cell,) = notebook_cells(notebook(above, code("a()")))
    assert (cell.headings, cell.prose, cell.cell) == (("Results",), "Why.", 1)


def test_a_notebook_in_another_language_gives_no_cells() -> None:
    assert notebook_cells(notebook(code("a()"), language="python")) == []
    assert notebook_cells(notebook(code("a()"), language=None)) == []


def test_the_kernel_tells_the_language_of_a_notebook_that_never_ran() -> None:
    assert len(notebook_cells(notebook(code("a()"), key="kernelspec"))) == 1


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"cells": 1}', notebook("text"), "[" * 100_000, ""]
)
def test_what_is_no_notebook_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        notebook_cells(text)


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("**bold** and _soft_", "bold and soft"),
        ("set MAX_RETRY_COUNT or get_user_name", "set MAX_RETRY_COUNT or get_user_name"),
        ("keep trailing_name_ as it is", "keep trailing_name_ as it is"),
        ("a [link](http://x) ![image](y)", "a link image"),
        ("\N{WHITE HEAVY CHECK MARK} done \N{WHITE MEDIUM STAR}", "done"),
        ("`a * b` and  two\nlines", "`a * b` and two lines"),
    ],
)
def test_plain_text_drops_markup_but_no_identifier(markdown: str, text: str) -> None:
    assert plain_text(markdown) == text


LINES = [
    "",
    "text",
    "# One",
    "## Two",
    "Title",
    "===",
    "---",
    "```ts",
    "```",
    "````",
    "~~~ts",
    "~~~",
    "```js",
    "  ```",
    "   ~~~~  ",
    "    code",
    "\tcode",
    "> quote",
    "- item",
    "1. item",
    "[a]: b",
    "a()",
    "``` `",
    "```ts `x`",
]


@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_the_short_way_through_plain_documents_gives_the_same_blocks(lines: list[str]) -> None:
    text = "\n".join(["```ts", "x()", "```", *lines, ""])
    full = [
        (token.map[0] + 2, token.content)
        for token in MarkdownIt("commonmark").parse(text)
        if token.type == "fence" and token.map and token.info.strip() == "ts"
    ]
    assert [(b.first_line, b.text) for b in markdown_blocks(text)] == full


@pytest.mark.parametrize(
    ("before", "headings", "prose"),
    [
        ("# A #\n## B#\nfirst\n\nsecond\nline\n", ("A", "B#"), "second line"),
        ("Setext\n---\ntext\n", ("Setext",), "text"),
        ("# A\n- # listed\n\n  item\n", ("listed",), "item"),
        ("text\n\n    code\n", (), "text"),
        ("[a]: http://b\n", (), ""),
        ("text\n```sh\nls\n```\n", (), "text"),
        ("text\n# A\n", ("A",), ""),
    ],
)
def test_what_stands_before_a_fence_at_the_margin_is_read(
    before: str, headings: tuple[str, ...], prose: str
) -> None:
    (block,) = markdown_blocks(f"{before}```ts\na()\n```\n")
    assert (block.headings, block.prose) == (headings, prose)
    # A quoted fence further down makes the whole document be read as Markdown.
    quoted, _ = markdown_blocks(f"{before}```ts\na()\n```\n\n> ```ts\n> b()\n> ```\n")
    assert (quoted.headings, quoted.prose, quoted.first_line) == (
        headings,
        prose,
        block.first_line,
    )
