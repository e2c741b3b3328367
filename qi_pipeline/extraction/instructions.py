"""What a developer would type to get a unit: from its doc comment, name, signature and headings.

An instruction says what is wanted and how it is called, never how it is done: no line of a body
gets in. Flows in: a unit or code block. Flows out: one line of text. English belongs to `wording`.
"""

import re
from pathlib import PurePosixPath
from typing import Final

from tree_sitter import Node

from qi_pipeline.extraction.documents import CodeBlock, plain_text
from qi_pipeline.extraction.syntax import ancestors, captures, text_of
from qi_pipeline.extraction.units import Unit
from qi_pipeline.extraction.wording import (
    Purpose,
    capitalized,
    cleaned,
    humanized,
    lowered,
    read_purpose,
    sentences,
    series,
    uncapitalized,
)

# A blank line, a tag, a list or a labelled line (`Contract: …`) ends what a doc comment opens with.
_PARAGRAPH_END: Final = r"\n\s*(?:\n|$)|(?:^|\n)\s*(?=@\w|[-*] |[A-Z]\w*:)"
_DOC_LABEL: Final = r"^(?:Example|Demo|Step) \d+: "
_ENTRY_NAMES: Final = frozenset({"main", "run", "start", "cli", "app"})
_SOURCE_FOLDERS: Final = frozenset({"src", "lib", "source"})
_MAX_NAMES: Final = 6
_MAX_PROSE: Final = 240
_STEM_LETTERS: Final = 4
# Headings that say where in a document one is, not what the code is about.
_PLACE_HEADINGS: Final = re.compile(
    r"^(?:(?:basic|advanced|typical|common|real|complete|usage|quick|core|key|project|full|more|"
    r"factory|utility|example|simple|api|convenience|query|extraction|transformation|creation) )*"
    r"(?:usage|examples?|overview|introduction|start|concepts?|summary|conclusion|steps|patterns?|"
    r"methods|functions|operations|reference|setup|guide|dive deeper|getting started|next steps|"
    r"how it works|import and use|real-world examples?)$",
    re.IGNORECASE,
)
_HEADING_LABEL: Final = re.compile(r"^(?:(?:part|step|section)? ?\d+[.):]?\s+|[A-Z][a-z]+:\s+)")
_DOCUMENT_WORDS: Final = re.compile(
    r"\s*\b(?:API Reference|Reference|Tutorial|Cookbook|Guide|Documentation|Demo)\b\s*$"
)
_SIGNATURE_HEADING: Final = re.compile(r"^`?(?:new |static )?([A-Za-z_$][\w$.]*)(?:<.*?>)?\(.*`?$")
_TYPED_HEADING: Final = re.compile(r"^`?([a-z_$][\w$.]*): [\w<>\[\]]+`?$")

# Names of code: they start in lower case, where a title does not, or have capitals inside.
_NAMES_HEADING: Final = re.compile(
    r"`?(?:[a-z_$][\w$]*|[A-Z][\w$]*[a-z][A-Z][\w$]*|[A-Z]{2,}[a-z][\w$]*|[A-Z][A-Z][\w$]*[a-z][\w$]*)`?"
    r"(?:(?:, | and | / )`?[A-Za-z_$][\w$]*`?)*"
)


def unit_instruction(unit: Unit, packages: tuple[str, ...]) -> str:
    """Return the instruction of a function, class, value or test that uses `packages`."""
    library = series(packages)
    if unit.kind == "test":
        return _test_instruction(unit.container, library)
    purpose = _purpose(unit)
    if unit.kind == "function":
        request = f"Write `{signature(unit.node)}` with"
    elif unit.kind == "class":
        request = f"Write the class `{unit.container}` with"
    else:
        request = f"Define `{unit.container}` with"
    if purpose is None and unit.kind == "class":
        return f"{request} {library}{_members(unit.node)}."
    if purpose is None:
        return f"{request} {_named_calls(unit)} from {library}."
    return purpose.after(f"{request} {library}")


def _test_instruction(container: str, library: str) -> str:
    *groups, title = container.split(" > ")
    within = f' in the group "{groups[-1]}"' if groups else ""
    return f'Write the vitest case "{title}"{within} for code that uses {library}.'


def _purpose(unit: Unit) -> Purpose | None:
    """Return what the unit is for; None when neither a comment nor its name says it."""
    doc = doc_sentence(unit.statement)
    if doc is None and unit.container in _ENTRY_NAMES:
        return Purpose(f"the entry point of {_application(unit)}", "noun")
    purpose = read_purpose(doc, unit.container, acts=unit.kind == "function")
    if purpose is None or not purpose.text.startswith("demonstrate "):
        return purpose
    # `demonstrateFlatMap` is about the function that it calls.
    topic = purpose.text.removeprefix("demonstrate ")
    called = {humanized(call.symbol): call.symbol for call in unit.calls}
    if topic not in called:
        return purpose
    return Purpose(f"demonstrate `{called[topic]}`", "imperative")


def _application(unit: Unit) -> str:
    """Return the words for the application that an entry file belongs to."""
    first = list(ancestors(unit.statement))[-1].named_children[:2]
    for node in first:
        # A hash bang may stand before the comment that describes the file.
        title = doc_of(node) if node.type == "comment" else None
        clean = cleaned(sentences(title)[0]) if title and sentences(title) else None
        if clean is not None and node.next_named_sibling != unit.statement:
            return f"an application: {uncapitalized(clean)}"
    folders = [part for part in PurePosixPath(unit.file).parts[:-1] if part not in _SOURCE_FOLDERS]
    return f"the {humanized(folders[-1])} application" if folders else "an application"


def _named_calls(unit: Unit) -> str:
    """Return the library symbols that a unit calls, as what it is to be written with."""
    names = sorted({call.symbol.split(".")[0] for call in unit.calls})
    return series([f"`{name}`" for name in names[:_MAX_NAMES]])


def _members(node: Node) -> str:
    """Return ` and the methods …` of a class, so that a name alone is not all that is said."""
    body = node.child_by_field_name("body")
    if body is None or body.type != "class_body":
        return ""
    names = [
        text_of(name)
        for member in body.named_children
        if member.type == "method_definition"
        and not any(child.type == "accessibility_modifier" for child in member.children)
        and (name := member.child_by_field_name("name")) is not None
        and name.type == "property_identifier"
        and text_of(name) != "constructor"
    ]
    if not names:
        return ""
    noun = "method" if len(names) == 1 else "methods"
    return f" and the {noun} {series([f'`{name}`' for name in names[:_MAX_NAMES]])}"


def block_instruction(block: CodeBlock, document: str, packages: tuple[str, ...]) -> str:
    """Return the instruction of a document's code block that uses `packages`."""
    library = series(packages) or humanized(document)
    prose = _prose(block.prose)
    described = described_names(block.headings)
    if described:
        request = f"Show how to use {described} from {library}"
        if prose is None:
            return f"{request}."
        if prose.form == "imperative":
            return f"{request}, to {prose.text}."
        return prose.after(request)
    topic = _topic(block.headings, library)
    if topic is None:
        topic = Purpose("typical use", "noun")
    if topic.form == "imperative":
        whole, _, action = topic.text.rpartition(": ")
        opening = f"{capitalized(whole)}: show" if whole else "Show"
        request = f"{opening} how to {action} with {library}"
    else:
        request = f"Write a {library} example of {topic.text}"
    # A statement about the library beside the block is not part of what is asked for.
    wanted = prose is not None and prose.form == "imperative"
    return f"{request}: {prose.text}." if prose is not None and wanted else f"{request}."


def described_names(headings: tuple[str, ...]) -> str:
    """Return the names in words when the innermost heading is a signature or but names of code."""
    heading = headings[-1].strip() if headings else ""
    found = _SIGNATURE_HEADING.match(heading) or _TYPED_HEADING.match(heading)
    if found:
        return f"`{found[1]}`"
    names = _NAMES_HEADING.fullmatch(heading)
    return series([f"`{name}`" for name in re.findall(r"[\w$.]+", heading)]) if names else ""


def _topic(headings: tuple[str, ...], library: str) -> Purpose | None:
    """Return what a block is about: its innermost heading that says so, and what that is part of.

    None when all headings only say where in the document the block stands.
    """
    titles = [title for heading in headings if (title := _title(heading))]
    topical = [title for title in titles if not _is_place(title, library)]
    if not topical:
        return None
    topic, whole = re.sub(r"(?i)(?<=\w) examples?$", "", topical[-1]), topical[0]
    purpose = read_purpose(topic, "") or Purpose(lowered(topic), "noun")
    purpose = Purpose(
        lowered(purpose.text), "imperative" if purpose.form == "imperative" else "noun"
    )
    if whole == topic and purpose.text == lowered(topic) and re.fullmatch(r"[a-z]+", purpose.text):
        return Purpose(f"the {purpose.text}", "noun")
    if " " in whole or _share_a_word(whole, topic):
        return purpose
    if purpose.form == "imperative":
        return Purpose(f"{lowered(whole)}: {purpose.text}", "imperative")
    article = "" if re.search(r"[A-Z<]", whole[1:]) else "the "
    return Purpose(f"{purpose.text} for {article}{lowered(whole)}", "noun")


def _share_a_word(first: str, second: str) -> bool:
    """Tell whether a word of one title is the beginning of a word of the other."""
    return any(
        a.startswith(b) or b.startswith(a)
        for a in humanized(first).split()
        for b in humanized(second).split()
        if min(len(a), len(b)) >= _STEM_LETTERS
    )


def _is_place(title: str, library: str) -> bool:
    """Tell whether a heading names a place in the document, or no more than the library itself."""
    package = re.fullmatch(r"@?\w+/[\w-]+", title) is not None
    return package or bool(_PLACE_HEADINGS.match(title)) or title in library


def _title(heading: str) -> str:
    """Return a heading without numbering, labels and words for the document itself."""
    text = _HEADING_LABEL.sub("", heading.strip().strip("`"))
    text = _DOCUMENT_WORDS.sub("", text).strip(" :.-")
    # A path (`src/index.ts`) says where the code would stand.
    return "" if re.fullmatch(r"\S+\.(?:ts|js|json)", text) else text.replace(" - ", ": ")


def _prose(paragraph: str) -> Purpose | None:
    """Return the first sentence before a block that can stand alone and says what is wanted."""
    for sentence in sentences(paragraph):
        text = cleaned(sentence)
        if text is not None and len(text) <= _MAX_PROSE:
            return read_purpose(text, "")
    return None


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
    text = on_one_line("".join(parts))
    return re.sub(r",? \)", ")", text.replace("( ", "("))


def on_one_line(text: str) -> str:
    """Return code with every run of white space as one space.

    Where a line break alone parts two members of a type, a semicolon does.
    """
    text = re.sub(r"(?<=[\w\]})>'\"])[ \t]*\n\s*(?=[\w$\[]+\??\s*[:(<]|readonly\b)", "; ", text)
    return re.sub(r"\s+", " ", text).strip()


def _without_comments(node: Node) -> str:
    source = node.text or b""
    for comment in reversed(captures("(comment) @comment", node).get("comment", [])):
        start, end = comment.start_byte - node.start_byte, comment.end_byte - node.start_byte
        source = source[:start] + source[end:]
    return source.decode()


def doc_of(comment: Node) -> str | None:
    """Return the text of a doc comment without its frame, or None for any other node."""
    text = text_of(comment)
    if comment.type != "comment" or not text.startswith("/**") or len(text) < len("/***/"):
        return None
    lines = (re.sub(r"^\s*\*\s?", "", line) for line in text[3:-2].split("\n"))
    described = re.sub(r"\{@link(?:code|plain)? ([^}|\s]+)[^}]*\}", r"\1", "\n".join(lines))
    return described.strip() or None


def doc_paragraph(statement: Node) -> str | None:
    """Return what the doc comment right before a statement opens with, tags left out, or None."""
    comment = statement.prev_named_sibling
    described = doc_of(comment) if comment is not None else None
    if described is None:
        return None
    paragraph = re.split(_PARAGRAPH_END, described, maxsplit=1)[0]
    lines = (plain_text(line) for line in paragraph.split("\n"))
    return "\n".join(line for line in lines if line) or None


def doc_sentence(statement: Node) -> str | None:
    """Return the first sentence of the doc comment right before a statement, or None."""
    paragraph = doc_paragraph(statement)
    if paragraph is None:
        return None
    found = sentences(re.sub(_DOC_LABEL, "", paragraph))
    return found[0] if found else None
