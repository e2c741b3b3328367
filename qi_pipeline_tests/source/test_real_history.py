"""The real library's whole history, where a clone of it is at hand."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline_tests.source.conftest import Reader

pytestmark = pytest.mark.real
HEAD = "e7d02fe"


def test_head_holds_every_kind(real_repository: Path, reader: Reader) -> None:
    snapshot = reader.take(real_repository, HEAD)
    counts = Counter(file.kind for file in snapshot.files)
    assert counts == {
        "implementation": 71,
        "api_doc": 14,
        "manifest": 15,
        "test": 11,
        "app": 9,
        "tutorial": 7,
        "notebook": 4,
    }
    assert snapshot.skipped == ()


def test_every_commit_can_be_taken_or_has_nothing_relevant(
    real_repository: Path, reader: Reader
) -> None:
    listing = subprocess.run(
        ["git", "rev-list", HEAD], cwd=real_repository, capture_output=True, text=True, check=True
    )
    commits = listing.stdout.split()
    taken, refused = {}, []
    for commit in commits:
        try:
            taken[commit] = reader.take(real_repository, commit).tree_hash
        except QiPipelineError as error:
            refused.append(str(error))
    assert len(commits) == 99
    assert all("no relevant file" in message for message in refused)
    assert len(set(taken.values())) < len(taken), "some commits change nothing that matters"
    assert {path.name for path in reader.snapshots.iterdir()} == set(taken.values())
    assert all(
        reader.upstream(real_repository, commit).tree_hash == taken[commit] for commit in taken
    )
