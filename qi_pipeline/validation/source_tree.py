"""The compiler's own syntax tree of one file, as far as node handles need it.

Flows in: the base64 answer of `getSourceFile`. Flows out: node handles (`index.kind.path`) for
spans, which the compiler takes as locations and returns as declarations. Format: PROTOCOL_VERSION 5
of typescript/dist/api/node/protocol.js - a header of 11 words, then seven words for each node.
"""

import base64
import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from qi_pipeline.validation.syntax import TRIVIA

_HEADER_NODES = 40
_NODE_LIST = 0xFFFFFFFF
_MEMBER_KINDS = frozenset({172, 173, 174, 175, 178, 179})
"""SyntaxKind of property and method signatures and declarations, get and set accessors."""
_TRIVIA = re.compile(TRIVIA)


_WORDS = 7
"""Of a node, 32 bits each, in the byte order of every machine that the compiler is built for:
SyntaxKind, start (UTF-16 offset, leading trivia included), end, next, parent, data, flags."""
_KIND, _START, _END, _PARENT = 0, 1, 2, 4
_Span = tuple[int, int]


def parse_handle(handle: str) -> tuple[int, str]:
    """Return the node index and the file path of a node handle."""
    index, _, path = handle.split(".", 2)
    return int(index), path


@dataclass(frozen=True)
class SourceTree:
    """The nodes of one file, in preorder."""

    path: str
    kinds: list[int]
    starts: list[int]
    """UTF-16 offsets, leading trivia included."""
    ends: list[int]
    parents: list[int]

    @classmethod
    def decode(cls, path: str, data: str) -> "SourceTree":
        """Read the answer of `getSourceFile` for `path`."""
        raw = base64.b64decode(data)
        (offset,) = struct.unpack_from("<I", raw, _HEADER_NODES)
        words = memoryview(raw)[offset:].cast("I")
        columns = (words[column::_WORDS].tolist() for column in (_KIND, _START, _END, _PARENT))
        return cls(path, *columns)

    def handle(self, index: int) -> str:
        """Return the handle of the node at `index`."""
        return f"{index}.{self.kinds[index]}.{self.path}"

    def handles_of(self, utf16: bytes, spans: Collection[_Span]) -> dict[_Span, str]:
        """Return the innermost node that covers exactly each span of the text `utf16`.

        Spans that no node covers are left out.
        """
        nodes: dict[int, list[int]] = {end: [] for _, end in spans}
        for index, end in enumerate(self.ends):
            if end in nodes and self.kinds[index] != _NODE_LIST:
                nodes[end].append(index)
        handles: dict[_Span, str] = {}
        for start, end in spans:
            for index in reversed(nodes[end]):
                full_start = self.starts[index]
                lead = utf16[2 * full_start : 2 * start].decode("utf-16-le", errors="replace")
                if full_start <= start and _TRIVIA.fullmatch(lead):
                    handles[start, end] = self.handle(index)
                    break
        return handles

    def members_of(self, declaration: int) -> Iterator[str]:
        """Yield the handles of the members that the type declared at `declaration` has itself."""
        for index, kind in enumerate(self.kinds):
            if kind in _MEMBER_KINDS and self._is_direct(index, declaration):
                yield self.handle(index)

    def _is_direct(self, member: int, declaration: int) -> bool:
        """Tell whether `member` lies below `declaration` with no other member between."""
        parent = self.parents[member]
        while parent not in (0, declaration) and self.kinds[parent] not in _MEMBER_KINDS:
            parent = self.parents[parent]
        return parent == declaration
