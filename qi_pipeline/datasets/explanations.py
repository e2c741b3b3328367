"""Ask what code does: the task kind `explain`.

Flows in: patterns and the library's reference. Flows out: samples whose answer is prose made of
verified facts only: the sentences people wrote about the unit and about the symbols that it was
resolved to call, and the error messages that stand in it. Nothing is inferred from the code beyond
its syntax.
"""

import re
from collections.abc import Iterator
from typing import Final

from tree_sitter import Node

from qi_pipeline.datasets.interface import LibraryUse, library_use
from qi_pipeline.datasets.phrasings import library_of
from qi_pipeline.datasets.reference import DOCUMENT_KINDS, Reference
from qi_pipeline.datasets.samples import Sample, fenced, pick
from qi_pipeline.extraction.exports import declared_names
from qi_pipeline.extraction.instructions import described_names, doc_paragraph, on_one_line
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.extraction.syntax import (
    Module,
    ancestors,
    parse_module,
    string_value,
    text_of,
    walk,
)
from qi_pipeline.extraction.wording import Purpose, capitalized, cleaned, read_purpose, sentences
from qi_pipeline.library.profile import Profile

_REQUESTS: Final = (
    "What does this code do, and how does it use {library}?",
    "Explain this code to me. I am new to {library}.",
    "Explain {name} and the parts of {library} it uses.",
    "Walk me through this {library} code.",
)
MINIMUM_SENTENCES: Final = 2
"""Sentences that people wrote, at least one of them about the unit itself."""
_NEW_WORDS: Final = 2
_MAX_CONDITION: Final = 80
_MAX_SYMBOLS: Final = 8


def explanation_sample(pattern: Pattern, reference: Reference, profile: Profile) -> Sample | None:
    """Return the sample that explains a pattern, or None where too little was written about it."""
    code = pattern.implementation.strip("\n")
    module = parse_module(code)
    unit = _unit_statement(module, pattern)
    about = _sentences_about(pattern, unit, reference)
    symbols = [
        symbol
        for symbol in pattern.symbols
        if symbol in reference.docs and reference.docs[symbol] not in about
    ][:_MAX_SYMBOLS]
    said = _saying_more([*about, *(reference.docs[symbol] for symbol in symbols)])
    if not about or len(said) < MINIMUM_SENTENCES:
        return None
    name = f"`{pattern.container}`" if unit is not None else _documented_name(pattern)
    parts = [_opening(about, name)]
    if symbols:
        listed = "\n".join(f"- {_symbol_line(symbol, reference)}" for symbol in symbols)
        parts.append(f"Of the library it uses:\n\n{listed}")
    failures = list(dict.fromkeys(_failures(module, library_use(module, profile))))
    if failures:
        parts.append("Errors it makes:\n\n" + "\n".join(f"- {line}" for line in failures))
    request = pick(_REQUESTS, f"{pattern.id} explain")
    return Sample(
        id=f"{pattern.id}-explain",
        origin=pattern.id,
        kind="explain",
        phrasing="explain",
        instruction=request.format(
            library=library_of(pattern, profile),
            name=f"`{pattern.container}`" if unit is not None else "this code",
        ),
        answer="\n\n".join(parts),
        given=fenced(_without_comment(module, unit)),
        withheld=tuple(about),
    )


def _unit_statement(module: Module, pattern: Pattern) -> Node | None:
    """Return the statement that declares the pattern's own unit; documents have none."""
    if pattern.source_kind in DOCUMENT_KINDS:
        return None
    return next(
        (
            statement
            for statement in module.root.named_children
            if any(name == pattern.container for name, _, _ in declared_names(statement))
        ),
        None,
    )


def _sentences_about(pattern: Pattern, unit: Node | None, reference: Reference) -> list[str]:
    """Return what people wrote about the unit, sentence by sentence, as it stands."""
    paragraph = doc_paragraph(unit) if unit is not None else reference.prose.get(pattern.id)
    return [clean for sentence in sentences(paragraph or "") if (clean := cleaned(sentence))]


def _documented_name(pattern: Pattern) -> str:
    """Return what the heading over a document's code names, or nothing."""
    return described_names((pattern.container.rpartition(" > ")[2],))


def _saying_more(texts: list[str]) -> list[str]:
    """Return the sentences that say something which those before them do not."""
    said: set[str] = set()
    more = []
    for text in texts:
        words = {word.rstrip("s") for word in re.findall(r"[a-z]{4,}", text.lower())}
        if len(words - said) >= _NEW_WORDS:
            more.append(text)
        said |= words
    return more


def _opening(about: list[str], name: str) -> str:
    first, *rest = about
    purpose = read_purpose(first, "", acts=True) or Purpose(first, "noun")
    if purpose.form == "third_person":
        opening = f"{name or 'It'} {purpose.text}"
    elif not name:
        opening = first
    elif purpose.form == "imperative":
        opening = f"{name} is there to {purpose.text}"
    else:
        opening = f"{name}: {purpose.text}"
    return " ".join(f"{capitalized(sentence)}." for sentence in (opening, *rest))


def _symbol_line(symbol: str, reference: Reference) -> str:
    package, _, name = symbol.rpartition(":")
    return f"`{name}` from {package}: {reference.docs[symbol]}."


def _failures(module: Module, use: LibraryUse) -> Iterator[str]:
    """Yield one line for each error that a library call gets from another with a message."""
    for call in walk(module.root):
        inner = _callee(call)
        outer = next((n for n in ancestors(call) if n.type == "call_expression"), None)
        if inner not in use.values or outer is None or _callee(outer) not in use.values:
            continue
        arguments = call.child_by_field_name("arguments")
        if arguments is None or call.parent != outer.child_by_field_name("arguments"):
            continue
        message = next((m for a in arguments.named_children if (m := _message(a))), None)
        if message is not None:
            condition = _condition(outer)
            when = f" when `{condition}` holds" if condition else ""
            yield f'`{inner}` with the message "{message}"{when}.'


def _callee(node: Node) -> str | None:
    function = node.child_by_field_name("function") if node.type == "call_expression" else None
    return text_of(function) if function is not None and function.type == "identifier" else None


def _message(argument: Node) -> str | None:
    """Return a literal that reads like a message: words with spaces between."""
    text = string_value(argument)
    if argument.type == "template_string":
        text = text_of(argument).strip("`")
    return text if text and re.search(r"\w\s+\S*\w", text) and "\n" not in text else None


def _condition(call: Node) -> str | None:
    """Return the condition under which a call is made, where it is the branch taken when true."""
    child = call
    for node in ancestors(call):
        if node.type in ("arrow_function", "function_declaration", "method_definition"):
            return None
        if node.type in ("if_statement", "ternary_expression"):
            condition = node.child_by_field_name("condition")
            if condition is None or child != node.child_by_field_name("consequence"):
                return None
            text = on_one_line(text_of(condition))
            inner = text[1:-1] if node.type == "if_statement" else text
            return inner if len(inner) <= _MAX_CONDITION and "`" not in inner else None
        child = node
    return None


def _without_comment(module: Module, unit: Node | None) -> str:
    """Return the module's text without the doc comment that the answer is made of."""
    comment = unit.prev_named_sibling if unit is not None else None
    if comment is None or comment.type != "comment":
        return module.text
    source = module.source
    return (source[: comment.start_byte] + source[comment.end_byte :].lstrip(b"\n")).decode()
