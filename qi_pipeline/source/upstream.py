"""What the library looks like upstream right now, at the price of one question to the remote.

Flows in: a git source, a revision and a profile. Flows out: an `UpstreamState` to compare with the
last one. Copying files belongs to `take`.
"""

from dataclasses import dataclass
from pathlib import Path

from qi_pipeline.library.profile import Profile
from qi_pipeline.source.location import locate
from qi_pipeline.source.tree import read_tree


@dataclass(frozen=True)
class UpstreamState:
    """One commit upstream; equal `tree_hash` means nothing that matters changed."""

    commit: str
    """40 hex digits."""
    tree_hash: str
    """The `tree_hash` that a snapshot of this commit has."""


def read_upstream(source: str, revision: str, profile: Profile, mirrors_dir: Path) -> UpstreamState:
    """Return the commit that `revision` names now, and the hash of its relevant files.

    Fetches only when the mirror lacks the commit, and reads no file's content. Raises
    QiPipelineError in the same cases as `take_snapshot`.
    """
    location = locate(source, revision, mirrors_dir)
    tree = read_tree(location.repository, location.commit, profile)
    return UpstreamState(location.commit, tree.hash)
