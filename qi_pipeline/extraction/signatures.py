"""What the rest of a snapshot can see of a declaration: its text without the bodies.

Flows in: the parsed snapshot. Flows out: hashes that change when a type or a name that others build
on does, and stay when only the inside of a function changes. What is cached under them belongs to
`cache`.
"""

import hashlib
import re
from collections.abc import Iterable

from tree_sitter import Node

from qi_pipeline.artefacts import content_hash
from qi_pipeline.extraction.exports import (
    Declaration,
    LibraryExports,
    declared_names,
    resolve_relative,
)

_FUNCTIONS = frozenset(
    {
        "function_declaration",
        "generator_function_declaration",
        "method_definition",
        "arrow_function",
        "function_expression",
        "generator_function",
    }
)
_HOLDERS = frozenset(
    {
        "export_statement",
        "ambient_declaration",
        "lexical_declaration",
        "variable_declaration",
        "class_declaration",
        "abstract_class_declaration",
        "class_body",
    }
)
_VALUES = frozenset({"variable_declarator", "public_field_definition"})
_TYPELESS_METHODS = re.compile(rb"\s*(?:(?:public|private|protected)\s+)?(?:constructor\b|set\s)")
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
_IMPORT_EXPRESSION = re.compile(r"""\bimport\s*\(\s*["'`](\.[^"'`]+)["'`]""")


def relative_expressions(text: str) -> list[str]:
    """Return the relative paths of a text's `import("./…")`, as values and in types."""
    return _IMPORT_EXPRESSION.findall(text) if "import(" in text else []


def signature_text(statement: Node) -> str:
    """Return a declaring statement without the parts that its annotations make invisible.

    The body of a function without a return type stays: its type is inferred from it.
    """
    cuts: list[Node] = []
    stack = [statement]
    while stack:
        node = stack.pop()
        if node.type in _HOLDERS:
            stack.extend(node.named_children)
        elif node.type in _FUNCTIONS:
            cuts.extend(_invisible_body(node))
        elif node.type in _VALUES:
            value = node.child_by_field_name("value")
            if value is not None and node.child_by_field_name("type") is not None:
                cuts.append(value)
            elif value is not None:
                stack.append(value)
        elif node.type == "comment":
            cuts.append(node)
    source, start = statement.text or b"", statement.start_byte
    parts: list[bytes] = []
    done = 0
    for cut in sorted(cuts, key=lambda node: node.start_byte):
        parts.append(source[done : cut.start_byte - start])
        done = cut.end_byte - start
    return " ".join(b" ".join([*parts, source[done:]]).decode().split())


def _invisible_body(function: Node) -> list[Node]:
    body = function.child_by_field_name("body")
    typed = function.child_by_field_name("return_type") is not None
    if body is None or not (typed or _TYPELESS_METHODS.match(function.text or b"")):
        return []
    return [body]


class Signatures:
    """Hashes of what declarations look like from outside, with all that their types mention."""

    def __init__(self, library: LibraryExports) -> None:
        """Use the parsed files of `library`."""
        self._library = library
        self._texts: dict[str, dict[str, str]] = {}
        self._known: dict[Declaration, str] = {}

    def surface(self) -> str:
        """Return the hash of the library's exported names and their signatures."""
        symbols = [
            symbol
            for _, named in sorted(self._library.symbols.items())
            for _, symbol in sorted(named.items())
        ]
        names = "\n".join(f"{symbol.qualified} {symbol.declaration.kind}" for symbol in symbols)
        closure = self._closure((symbol.declaration for symbol in symbols), within_library=True)
        return hashlib.sha256(f"{names}\n{closure}".encode()).hexdigest()

    def of(self, declaration: Declaration) -> str:
        """Return the hash of a declaration outside the library's surface."""
        if declaration not in self._known:
            closure = self._closure([declaration], within_library=False)
            self._known[declaration] = hashlib.sha256(closure.encode()).hexdigest()
        return self._known[declaration]

    def _closure(self, roots: Iterable[Declaration], *, within_library: bool) -> str:
        """Return the signatures of the roots and of all that those mention."""
        pending = list(roots)
        seen = set(pending)
        parts: list[str] = []
        while pending:
            declaration = pending.pop()
            text = self._file(declaration.file).get(declaration.name, "")
            parts.append(f"{declaration.name} {text}")
            for target in self._mentioned(declaration.file, text, parts):
                symbol = self._library.symbol_of(target)
                if symbol is not None and not within_library:
                    parts.append(symbol.qualified)
                elif target not in seen:
                    seen.add(target)
                    pending.append(target)
        return "\n".join(sorted(parts))

    def _mentioned(self, file: str, text: str, parts: list[str]) -> list[Declaration]:
        declared = self._library.declared_in(file)
        imports = self._library.imports_of(file)
        found: list[Declaration] = []
        for name in sorted(set(_IDENTIFIER.findall(text))):
            item = imports.get(name)
            if name in declared:
                found.append(declared[name])
            elif item is not None and item.specifier.startswith("."):
                target = self._library.declaration_of(item.specifier, file, item.imported)
                if target is not None:
                    found.append(target)
                else:
                    # A namespace may stand for anything in that file, a nameless export for what
                    # it is made of.
                    parts.append(self.reachable(file, item.specifier))
        parts.extend(self.reachable(file, specifier) for specifier in relative_expressions(text))
        return found

    def reachable(self, file: str, specifier: str) -> str:
        """Return the hash of the file that an import means, and of all that it reaches itself."""
        target = resolve_relative(file, specifier, self._library.modules)
        reached: set[str] = set()
        pending = [target] if target is not None else []
        while pending:
            path = pending.pop()
            if path in reached:
                continue
            reached.add(path)
            specifiers = [item.specifier for item in self._library.imports_of(path).values()]
            specifiers += self._library.forwarded_by(path)
            specifiers += relative_expressions(self._library.modules[path].text)
            found = (
                resolve_relative(path, specifier, self._library.modules)
                for specifier in specifiers
                if specifier.startswith(".")
            )
            pending.extend(path for path in found if path is not None)
        texts = self._library.modules
        return content_hash({path: texts[path].text for path in sorted(reached)}) if reached else ""

    def _file(self, path: str) -> dict[str, str]:
        if path not in self._texts:
            texts: dict[str, str] = {}
            for statement in self._library.modules[path].statements:
                names = [name for name, _, _ in declared_names(statement)]
                text = signature_text(statement) if names else ""
                for name in names:
                    texts[name] = f"{texts.get(name, '')}\n{text}"
            self._texts[path] = texts
        return self._texts[path]
