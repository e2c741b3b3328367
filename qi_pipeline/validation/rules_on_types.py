"""What modules say of types and of each other: R12 and R13.

Flows in: `Evidence`. Flows out: findings.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from tree_sitter import Node

from qi_pipeline.validation.evidence import Evidence, Finding
from qi_pipeline.validation.syntax import string_value

_VALUE_NAMES = ("identifier", "shorthand_property_identifier")
_SOURCE_SUFFIXES = frozenset({".ts", ".tsx", ".mts", ".cts"})


def any_type(evidence: Evidence) -> Iterator[Finding]:
    """R12: a type is `any`."""
    for node in evidence.module.of_type("predefined_type"):
        if evidence.module.text_of(node) == "any":
            yield node, {}


def import_form(evidence: Evidence) -> Iterator[Finding]:
    """R13: a relative path without its ending, or a type imported as a value."""
    yield from _paths(evidence)
    yield from _types(evidence)


def _paths(evidence: Evidence) -> Iterator[Finding]:
    suffixes = evidence.conventions.import_suffixes
    for _, node in evidence.module.specifiers:
        path = string_value(evidence.module, node)
        if path is None or not (path.startswith(("./", "../")) or path in {".", ".."}):
            continue
        if not path.endswith(suffixes):
            yield node, {"name": f'"{path}"', "known": f'"{_with_suffix(path, suffixes[0])}"'}


def _with_suffix(path: str, suffix: str) -> str:
    if path in {".", ".."} or path.endswith("/"):
        return f"{path.rstrip('/')}/index{suffix}"
    pure = PurePosixPath(path)
    stem = path.removesuffix(pure.suffix) if pure.suffix in _SOURCE_SUFFIXES else path
    return f"{stem}{suffix}"


def _types(evidence: Evidence) -> Iterator[Finding]:
    module = evidence.module
    imported = [
        (item, name)
        for statement in module.of_type("import_statement")
        if not _is_type_only(statement)
        for item in _specifiers_in(statement)
        if not _is_type_only(item)
        for name in [item.child_by_field_name("alias") or item.child_by_field_name("name")]
        if name is not None
    ]
    names = {module.text_of(name) for _, name in imported}
    types = names & {module.text_of(node) for node in module.of_type("type_identifier")}
    if not types:
        return
    values = {
        module.text_of(node) for node in module.of_type(*_VALUE_NAMES) if not _is_in_import(node)
    }
    for item, name in imported:
        text = module.text_of(name)
        if text in types - values:
            yield item, {"name": f"{text} as a value", "known": f"type {module.text_of(item)}"}


def _specifiers_in(statement: Node) -> Iterator[Node]:
    for clause in statement.named_children:
        if clause.type == "import_clause":
            for part in clause.named_children:
                if part.type == "named_imports":
                    yield from (n for n in part.named_children if n.type == "import_specifier")


def _is_type_only(node: Node) -> bool:
    return any(child.type == "type" for child in node.children)


def _is_in_import(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.type in {
        "import_specifier",
        "import_clause",
        "namespace_import",
    }
