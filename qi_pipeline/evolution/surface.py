"""What of a file the others can see.

Flows in: parsed TypeScript files. Flows out: hashes that change when a file's exports or their
types may have changed and stay when only bodies, comments or white space did; and which files a
file is built on. They decide what must be looked at again, so that nothing else is.
"""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from qi_pipeline.artefacts import content_hash
from qi_pipeline.extraction.exports import resolve_relative
from qi_pipeline.extraction.syntax import Module, captures, string_value
from qi_pipeline.recognition.duplicates import tokenize

# With a written return type a body decides nothing outside itself.
_TYPED_BODIES = """
(function_declaration return_type: (_) body: (_) @body)
(generator_function_declaration return_type: (_) body: (_) @body)
(function_expression return_type: (_) body: (_) @body)
(generator_function return_type: (_) body: (_) @body)
(arrow_function return_type: (_) body: (_) @body)
(method_definition return_type: (_) body: (_) @body)
"""
_CLOSING = frozenset(")]}>")
_OPTIONAL = frozenset(";")
_SPECIFIERS = """
(import_statement source: (string) @specifier)
(export_statement source: (string) @specifier)
(call_expression function: (import) arguments: (arguments (string) @specifier))
"""


def surface_hash(module: Module) -> str:
    """Return the SHA-256 of the file's tokens without the bodies of typed functions."""
    kept, position = bytearray(), 0
    for body in captures(_TYPED_BODIES, module.root).get("body", []):
        if body.start_byte >= position:
            kept += module.source[position : body.start_byte]
            position = body.end_byte
    kept += module.source[position:]
    return content_hash(_normalised(tokenize(kept.decode(errors="replace"))))


def _normalised(tokens: Sequence[str]) -> list[str]:
    """Leave out what a formatter may add or remove: semicolons, last commas, the kind of quotes."""
    kept: list[str] = []
    for token in tokens:
        if token in _OPTIONAL:
            continue
        if token in _CLOSING and kept and kept[-1] == ",":
            kept.pop()
        kept.append(f'"{token[1:-1]}"' if token[0] in "\"'" else token)
    return kept


def relative_specifiers(module: Module) -> tuple[str, ...]:
    """Return the relative import paths that the file names, sorted."""
    nodes = captures(_SPECIFIERS, module.root).get("specifier", [])
    found = {string_value(node) or "" for node in nodes}
    return tuple(sorted(specifier for specifier in found if specifier.startswith(".")))


class Surfaces:
    """The surfaces of one state's files, and which files each one is built on."""

    def __init__(
        self,
        hashes: Mapping[str, str],
        specifiers: Mapping[str, tuple[str, ...]],
        entries: Mapping[str, str],
    ) -> None:
        """Take surface hash and relative specifiers by path, and the entry file of each package."""
        self._hashes = hashes
        self._entries = entries
        self._direct = {
            path: {
                target
                for specifier in found
                if (target := resolve_relative(path, specifier, hashes)) is not None
            }
            for path, found in specifiers.items()
        }

    @cached_property
    def library(self) -> str:
        """SHA-256 over the surfaces of every file the packages' entries are built on.

        Moving a whole package changes nothing.
        """
        return content_hash(
            {
                package: [
                    [posixpath.relpath(path, posixpath.dirname(entry)), surface]
                    for path, surface in self._listing([entry, *self.below(entry)])
                ]
                for package, entry in self._entries.items()
            }
        )

    def below(self, path: str) -> list[str]:
        """Return the files that `path` imports, directly or not, sorted; not itself."""
        found: set[str] = set()
        waiting = [path]
        while waiting:
            for target in self._direct.get(waiting.pop(), ()):
                if target not in found:
                    found.add(target)
                    waiting.append(target)
        return sorted(found - {path})

    def of_imports(self, path: str) -> list[list[str]]:
        """Return (path, surface) of every file that `path` imports, directly or not."""
        return self._listing(self.below(path))

    def _listing(self, paths: Iterable[str]) -> list[list[str]]:
        return [[path, self._hashes[path]] for path in sorted(paths)]
