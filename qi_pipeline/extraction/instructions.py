"""What a developer would type to get a unit: from its doc comment, name, signature and headings.

An instruction says what is wanted and how it is called, never how it is done: no line of a body
gets in. Flows in: a unit or code block. Flows out: one line of text.
"""

import re

from tree_sitter import Node

from qi_pipeline.extraction.documents import CodeBlock, plain_text
from qi_pipeline.extraction.syntax import captures, text_of
from qi_pipeline.extraction.units import Unit

_MAX_PROSE = 240
# A blank line, a tag, a list or a labelled line (`Contract: …`) ends what a doc comment opens with.
_PARAGRAPH_END = r"\n\s*(?:\n|$)|(?:^|\n)\s*(?=@\w|[-*] |[A-Z]\w*:)"


def unit_instruction(unit: Unit, packages: tuple[str, ...]) -> str:
    """Return the instruction of a function, class, value or test that uses `packages`."""
    library = " and ".join(packages)
    purpose = _purpose(unit)
    if unit.kind == "test":
        return f"Write a vitest test for code that uses {library}: {unit.container}."
    if unit.kind == "function":
        return f"Using {library}, write `{signature(unit.node)}`{purpose}."
    if unit.kind == "class":
        return f"Using {library}, write the class `{unit.container}`{purpose}."
    return f"Using {library}, define `{unit.container}`{purpose}."


def _purpose(unit: Unit) -> str:
    """Return `: what the unit is for`; nothing when there is no doc and the name is one word."""
    words = humanized(unit.container)
    purpose = doc_sentence(unit.statement) or (words if " " in words else "")
    return f": {purpose}" if purpose else ""


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
    for field in ("type_parameters", "parameters", "parameter", "return_type"):
        part = function.child_by_field_name(field)
        if part is not None:
            parts.append(f"({text_of(part)})" if field == "parameter" else _without_comments(part))
    text = re.sub(r"\s+", " ", "".join(parts))
    return re.sub(r",? \)", ")", text.replace("( ", "("))


def _without_comments(node: Node) -> str:
    source = node.text or b""
    for comment in reversed(captures("(comment) @comment", node).get("comment", [])):
        start, end = comment.start_byte - node.start_byte, comment.end_byte - node.start_byte
        source = source[:start] + source[end:]
    return source.decode()


def doc_sentence(statement: Node) -> str | None:
    """Return the first sentence of the doc comment right before a statement, or None."""
    comment = statement.prev_named_sibling
    if comment is None or comment.type != "comment":
        return None
    text = text_of(comment)
    if not text.startswith("/**"):
        return None
    described = "\n".join(re.sub(r"^\s*\*\s?", "", line) for line in text[3:-2].split("\n"))
    paragraph = re.split(_PARAGRAPH_END, described.strip(), maxsplit=1)[0]
    described = re.sub(r"^(?:Example|Demo|Step) \d+: ", "", plain_text(paragraph))
    sentence = re.split(r"(?<=[.!?])\s", described, maxsplit=1)[0]
    return sentence.rstrip(" .:") or None


def humanized(name: str) -> str:
    """Return an identifier as words: `loadUserById` becomes `load user by id`."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ")
    return words.lower()
