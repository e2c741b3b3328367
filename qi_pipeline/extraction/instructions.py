"""What a developer would type to get a unit: from its doc comment, name, signature and headings.

An instruction says what is wanted and how it is called, never how it is done: no line of a body
gets in. Flows in: a unit or code block. Flows out: one line of text.
"""

import re

from tree_sitter import Node

from qi_pipeline.extraction.documents import CodeBlock, plain_text
from qi_pipeline.extraction.syntax import text_of
from qi_pipeline.extraction.units import Unit

_MAX_PROSE = 240


def unit_instruction(unit: Unit, packages: tuple[str, ...]) -> str:
    """Return the instruction of a function, class, value or test that uses `packages`."""
    library = " and ".join(packages)
    purpose = doc_sentence(unit.statement) or humanized(unit.container)
    if unit.kind == "test":
        return f"Write a vitest test for code that uses {library}: {unit.container}."
    if unit.kind == "function":
        return f"Using {library}, write `{signature(unit.node)}`: {purpose}."
    if unit.kind == "class":
        return f"Using {library}, write the class `{unit.container}`: {purpose}."
    return f"Using {library}, define `{unit.container}`: {purpose}."


def block_instruction(block: CodeBlock, document: str, packages: tuple[str, ...]) -> str:
    """Return the instruction of a document's code block that uses `packages`."""
    topic = " / ".join(block.headings[-2:]) or document
    library = " and ".join(packages)
    prose = block.prose[:_MAX_PROSE].rstrip(" :.")
    return f"Using {library}, show: {topic}{f' ({prose})' if prose else ''}."


def signature(node: Node) -> str:
    """Return `name(parameters): Result` of a function declaration or an arrow function constant."""
    name = node.child_by_field_name("name")
    value = node.child_by_field_name("value")
    function = node if node.type != "variable_declarator" or value is None else value
    parts = [text_of(name) if name is not None else ""]
    for field in ("type_parameters", "parameters", "return_type"):
        part = function.child_by_field_name(field)
        parts.append(text_of(part) if part is not None else "")
    return re.sub(r"\s+", " ", "".join(parts)).replace("( ", "(").replace(", )", ")")


def doc_sentence(statement: Node) -> str | None:
    """Return the first sentence of the doc comment right before a statement, or None."""
    comment = statement.prev_named_sibling
    if comment is None or comment.type != "comment":
        return None
    text = text_of(comment)
    if not text.startswith("/**"):
        return None
    lines = [re.sub(r"^\s*\*\s?", "", line) for line in text[3:-2].split("\n")]
    described = " ".join(line for line in lines if line.strip()).split(" @", 1)[0]
    sentence = re.split(r"(?<=[.!?])\s", plain_text(described), maxsplit=1)[0]
    return sentence.rstrip(" .:") or None


def humanized(name: str) -> str:
    """Return an identifier as words: `loadUserById` becomes `load user by id`."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ")
    return words.lower()
