from pathlib import Path

import pytest

from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.source.upstream import UpstreamState, read_upstream
from qi_pipeline_tests.source.git_repository import GitRepository


@pytest.fixture
def profile() -> Profile:
    return load_profile()


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return GitRepository.create(tmp_path / "library")


class Reader:
    """The two public functions with folders below one temporary directory."""

    def __init__(self, folder: Path, profile: Profile) -> None:
        self.snapshots = folder / "snapshots"
        self.mirrors = folder / "mirrors"
        self._profile = profile

    def take(self, source: Path | str, revision: str = "HEAD") -> Snapshot:
        return take_snapshot(str(source), revision, self._profile, self.snapshots, self.mirrors)

    def upstream(self, source: Path | str, revision: str = "HEAD") -> UpstreamState:
        return read_upstream(str(source), revision, self._profile, self.mirrors)


@pytest.fixture
def reader(tmp_path: Path, profile: Profile) -> Reader:
    return Reader(tmp_path / "data", profile)
