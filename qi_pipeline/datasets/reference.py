"""What the library's own files say of its symbols, and what documents say around their code.

Flows in: a snapshot. Flows out: a `Reference` that answers with text as people wrote it. Making
explanations or tests of it belongs to the makers of those kinds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.documents import CodeBlock, markdown_blocks, notebook_cells
from qi_pipeline.extraction.exports import LibraryExports, declared_names, read_modules
from qi_pipeline.extraction.instructions import doc_sentence
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.snapshot import Snapshot

DOCUMENT_KINDS = frozenset({"tutorial", "api_doc", "notebook"})


@dataclass(frozen=True)
class Reference:
    """Human text about symbols and code blocks, by what it is about."""

    docs: Mapping[str, str]
    """Exported symbol (`package:name`) to the first sentence of its doc comment."""
    units: Mapping[tuple[str, str], str]
    """(source file, declared name) to the exported symbol that is declared there."""
    prose: Mapping[str, str]
    """Id of a document's pattern to the paragraph right before its code."""


def read_reference(snapshot: Snapshot, profile: Profile, patterns: Iterable[Pattern]) -> Reference:
    """Read the snapshot's doc comments, and the prose around those `patterns` that are documents'.

    Raises QiPipelineError when the snapshot lacks the library, or the file of a document's pattern.
    """
    texts = {
        file.path: snapshot.read_text(file)
        for file in snapshot.files
        if file.kind == "implementation" and file.path.endswith(".ts")
    }
    library = LibraryExports(read_modules(texts), profile)
    docs: dict[str, str] = {}
    units: dict[tuple[str, str], str] = {}
    for symbols in library.symbols.values():
        for symbol in symbols.values():
            place = symbol.declaration
            canonical = library.symbol_of(place) or symbol
            units[place.file, place.name] = canonical.qualified
            doc = _doc_of(library, place.file, place.name)
            if doc is not None:
                docs[symbol.qualified] = doc
    documents = [pattern for pattern in patterns if pattern.source_kind in DOCUMENT_KINDS]
    return Reference(docs, units, _prose(snapshot, documents))


def _doc_of(library: LibraryExports, file: str, name: str) -> str | None:
    for statement in library.modules[file].root.named_children:
        if any(declared == name for declared, _, _ in declared_names(statement)):
            doc = doc_sentence(statement)
            if doc is not None:
                return doc
    return None


def _prose(snapshot: Snapshot, patterns: Iterable[Pattern]) -> dict[str, str]:
    files = {file.path: file for file in snapshot.files}
    blocks: dict[str, list[CodeBlock]] = {}
    prose: dict[str, str] = {}
    for pattern in patterns:
        path = pattern.metadata.source_file
        if path not in files:
            raise QiPipelineError(
                f"pattern {pattern.id} comes from {path}, which the snapshot of commit "
                f"{snapshot.commit} lacks; extract the patterns of this snapshot again"
            )
        if path not in blocks:
            text = snapshot.read_text(files[path])
            notebook = files[path].kind == "notebook"
            blocks[path] = notebook_cells(text) if notebook else markdown_blocks(text)
        block = next((b for b in blocks[path] if _is_origin(b, pattern)), None)
        if block is not None and block.prose:
            prose[pattern.id] = block.prose
    return prose


def _is_origin(block: CodeBlock, pattern: Pattern) -> bool:
    """Tell whether a pattern was made of this block.

    Lines of a notebook's pattern count within its cell, so its headings decide there.
    """
    place = " > ".join(block.headings)
    same_place = not place or place == pattern.container
    return (
        same_place
        and block.first_line == pattern.metadata.line_range[0]
        and (
            block.text.rstrip("\n").count("\n")
            == pattern.metadata.line_range[1] - pattern.metadata.line_range[0]
        )
    )
