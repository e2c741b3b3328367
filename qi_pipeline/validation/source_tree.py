"""The compiler's own syntax tree of one file, as far as node handles need it.

Flows in: the base64 answer of `getSourceFile`. Flows out: node handles (`index.kind.path`) for
spans, which the compiler takes as locations and returns as declarations. Format: PROTOCOL_VERSION 5
of typescript/dist/api/node/protocol.js - a header of 11 words, then seven words for each node.
"""

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from qi_pipeline.validation.syntax import TRIVIA

_HEADER_NODES = 40
_NODE_LIST = 0xFFFFFFFF
_MEMBER_KINDS = frozenset({172, 173, 174, 175, 178, 179})
"""SyntaxKind of property and method signatures and declarations, get and set accessors."""
_TRIVIA = re.compile(TRIVIA)


_Node = tuple[int, int, int, int, int, int, int]
"""SyntaxKind, start (UTF-16 offset, leading trivia included), end, next, parent, data, flags."""
_KIND, _START, _PARENT = 0, 1, 4


def parse_handle(handle: str) -> tuple[int, str]:
    """Return the node index and the file path of a node handle."""
    index, _, path = handle.split(".", 2)
    return int(index), path


@dataclass(frozen=True)
class SourceTree:
    """The nodes of one file, in preorder."""

    path: str
    nodes: list[_Node]

    @classmethod
    def decode(cls, path: str, data: str) -> "SourceTree":
        """Read the answer of `getSourceFile` for `path`."""
        raw = base64.b64decode(data)
        (offset,) = struct.unpack_from("<I", raw, _HEADER_NODES)
        return cls(path, list(struct.iter_unpack("<7I", raw[offset:])))

    def handle(self, index: int) -> str:
        """Return the handle of the node at `index`."""
        return f"{index}.{self.nodes[index][_KIND]}.{self.path}"

    @cached_property
    def _by_end(self) -> dict[int, list[int]]:
        ends: dict[int, list[int]] = {}
        for index, (kind, _, end, *_) in enumerate(self.nodes):
            if kind != _NODE_LIST:
                ends.setdefault(end, []).append(index)
        return ends

    def handle_of_span(self, utf16: bytes, start: int, end: int) -> str | None:
        """Return the innermost node that covers exactly `start`..`end` of the text `utf16`."""
        for index in reversed(self._by_end.get(end, [])):
            full_start = self.nodes[index][_START]
            lead = utf16[2 * full_start : 2 * start].decode("utf-16-le", errors="replace")
            if full_start <= start and _TRIVIA.fullmatch(lead):
                return self.handle(index)
        return None

    def members_of(self, declaration: int) -> Iterator[str]:
        """Yield the handles of the members that the type declared at `declaration` has itself."""
        for index, node in enumerate(self.nodes):
            if node[_KIND] in _MEMBER_KINDS and self._is_direct(index, declaration):
                yield self.handle(index)

    def _is_direct(self, member: int, declaration: int) -> bool:
        """Tell whether `member` lies below `declaration` with no other member between."""
        parent = self.nodes[member][_PARENT]
        while parent not in (0, declaration) and self.nodes[parent][_KIND] not in _MEMBER_KINDS:
            parent = self.nodes[parent][_PARENT]
        return parent == declaration
