"""The sample library, ready to be run, and a look at what a run left on this machine."""

import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.sandbox.modules import ModuleTester, prepare_tester
from qi_pipeline.settings import PROJECT_ROOT
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.workspace import LibraryWorkspace, prepare_library

TOOLCHAIN = PROJECT_ROOT / "toolchain"


@dataclass(frozen=True)
class Sample:
    """The sample library at its newest commit."""

    profile: Profile
    snapshot: Snapshot
    workspace: LibraryWorkspace
    cache: Path


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sandbox")
    build_sample_repository(folder / "repository")
    profile = load_profile()
    snapshot = take_snapshot(
        str(folder / "repository"), "HEAD", profile, folder / "snapshots", folder / "mirrors"
    )
    workspace = prepare_library(snapshot, profile, folder / "cache")
    return Sample(profile, snapshot, workspace, folder / "cache")


@pytest.fixture(scope="session")
def tester(sample: Sample) -> ModuleTester:
    return prepare_tester(sample.workspace, TOOLCHAIN, sample.cache)


@dataclass(frozen=True)
class Mark:
    """A word on the command line of every process that a test starts."""

    word: str = field(default_factory=lambda: f"mark-{secrets.token_hex(8)}")

    def processes(self) -> list[int]:
        """Return the processes of this machine, in whatever namespace, that carry the word."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                command = (place / "cmdline").read_bytes()
            except OSError:
                continue
            if self.word.encode() in command:
                found.append(int(place.name))
        return found

    def gone(self) -> bool:
        """Wait until no process carries the word; give up after ten seconds."""
        for _ in range(200):
            if not self.processes():
                return True
            time.sleep(0.05)
        return False


@pytest.fixture
def mark() -> Mark:
    return Mark()
