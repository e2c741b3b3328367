"""What is known of the states of a library's history; the records the cache holds.

Flows in: nothing. Flows out: the types that `survey` fills and `analysis` reads. Exported symbols
are written `package:name`, which no change of folders touches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from qi_pipeline.artefacts import content_hash
from qi_pipeline.extraction.exports import DeclarationKind
from qi_pipeline.extraction.pattern import SourceKind

SOURCE_KINDS: Final[tuple[SourceKind, ...]] = (
    "implementation",
    "test",
    "app",
    "tutorial",
    "api_doc",
    "notebook",
)


class FileUsage(BaseModel):
    """How one file of one state uses the library."""

    model_config = ConfigDict(frozen=True)

    kind: SourceKind
    calls: dict[str, int] = {}
    """Symbol to call sites; members of a class, static or not, count as calls of the class."""
    references: dict[str, int] = {}
    """Symbol to mentions that are no calls: types, functions passed on, constants."""
    violations: dict[str, int] = {}
    """Rule id to violations."""
    unknown: tuple[str, ...] = ()
    """Names taken from the library that it does not export, sorted; in documents also the names
    they call without importing or declaring them."""
    unreadable: int = 0
    """Code with syntax errors: 1 for a file, one for each code block of a document."""


class TreeUsage(BaseModel):
    """One state of the repository: what the library exports and how every file uses it."""

    model_config = ConfigDict(frozen=True)

    exports: dict[str, DeclarationKind] = {}
    """Symbol to what it is; empty before the library exists."""
    files: dict[str, FileUsage] = {}
    """By repository path; files that use nothing are there too. A second copy of the library in an
    older layout is left out."""
    unjudged: str = ""
    """Why no rule could be judged; empty when the rules were. The violations then mean nothing."""
    compiler_failed: bool = False
    """Whether that was the compiler's failure, so that another run may judge this state."""


class Rename(BaseModel):
    """One exported symbol that took another name."""

    model_config = ConfigDict(frozen=True)

    before: str
    after: str
    similarity: float
    """Jaccard index of the declarations' token shingles, their own names left out."""


@dataclass(frozen=True)
class State:
    """One commit of the main line and the state it left."""

    commit: str
    committed_at: str
    subject: str
    changed: bool
    """Whether any relevant file differs from the commit before."""
    usage: TreeUsage
    renames: tuple[Rename, ...]
    """What was renamed by this commit."""


@dataclass(frozen=True)
class Work:
    """What one run had to do; the rest came from the cache."""

    commits: int
    blobs: int
    """Distinct blobs in the history."""
    states_surveyed: int
    files_read: int
    modules_judged: int
    """Files and code blocks that the compiler was asked about."""
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Evolution:
    """The library's main line, oldest first."""

    states: tuple[State, ...]
    shallow: bool
    """Whether the history begins later than the repository's first commit."""
    work: Work

    @property
    def unjudged(self) -> int:
        """States that the rules could not judge, for whatever reason."""
        return sum(1 for state in self.states if state.usage.unjudged)

    @property
    def complete(self) -> bool:
        """Whether another run would find the same: at no state did the compiler fail.

        States whose library no rule can be asked about stay unjudged and do not count here.
        """
        return not any(state.usage.compiler_failed for state in self.states)

    @property
    def version(self) -> str:
        """SHA-256 (64 hex digits) over everything but the work it took."""
        return content_hash(
            [
                self.shallow,
                [
                    [
                        state.commit,
                        state.changed,
                        state.usage.model_dump(mode="json"),
                        [rename.model_dump(mode="json") for rename in state.renames],
                    ]
                    for state in self.states
                ],
            ]
        )
