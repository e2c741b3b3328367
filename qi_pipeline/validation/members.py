"""Which member calls reach the library, where only the types tell.

Flows in: the texts of a source tree and the member calls that syntax left open. Flows out: the
exported class or interface and the member that each one calls. The type checker sees all files in
one program. Which calls are open belongs to `extraction.members`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qi_pipeline.extraction.members import MemberQuestion
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.program import SourceProgram


class CheckedMembers:
    """A `MemberOracle` that asks the TypeScript compiler."""

    def __init__(
        self, profile: Profile, toolchain_dir: Path, *, node_modules: Path | None = None
    ) -> None:
        """Take the folder of the pinned compiler, and the library's npm dependencies if any."""
        self._profile = profile
        self._toolchain_dir = toolchain_dir
        self._node_modules = node_modules

    def resolve(
        self, texts: Mapping[str, str], questions: Mapping[str, Sequence[MemberQuestion]]
    ) -> dict[str, dict[int, tuple[str, str]]]:
        """Return file to `name_byte` to (package, "Class.member"); no library member, no entry.

        Raises QiPipelineError when the compiler is missing or cannot load the tree.
        """
        asked = {file: found for file, found in questions.items() if found}
        if not asked:
            return {}
        places = {
            file: utf16_offsets(texts[file], [question.name_byte for question in found])
            for file, found in asked.items()
        }
        with SourceProgram(
            texts, self._profile, self._toolchain_dir, node_modules=self._node_modules
        ) as program:
            members = program.members({file: list(found) for file, found in places.items()})
        return {
            file: {
                places[file][offset]: (member.package, f"{member.owner}.{member.name}")
                for offset, member in found.items()
                if not member.is_static
            }
            for file, found in members.items()
        }


def utf16_offsets(text: str, positions: Iterable[int]) -> dict[int, int]:
    """Return offset in UTF-16 units, as the compiler counts, to the offset in UTF-8 bytes.

    A byte order mark counts in neither.
    """
    if text.isascii():
        return {position: position for position in positions}
    source = text.removeprefix("\ufeff").encode(errors="replace")
    offsets: dict[int, int] = {}
    byte = units = 0
    for position in sorted(positions):
        units += len(source[byte:position].decode().encode("utf-16-le")) // 2
        byte = position
        offsets[units] = position
    return offsets
