"""The real library, when a clone is at hand (`QI_REAL_REPO`)."""

import os
from collections import Counter

import pytest

from qi_pipeline.extraction.extract import Extraction, extract_patterns
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES
from qi_pipeline.library.profile import load_profile
from qi_pipeline.source.take import take_snapshot

# The commit whose calls were counted with the TypeScript checker.
HEAD = "e7d02fe"

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def extraction(tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    clone = os.environ.get("QI_REAL_REPO")
    if not clone:
        pytest.skip("QI_REAL_REPO names no clone of the real library")
    folder = tmp_path_factory.mktemp("real")
    profile = load_profile()
    snapshot = take_snapshot(clone, HEAD, profile, folder / "snapshots", folder / "mirrors")
    return extract_patterns(snapshot, profile)


def test_every_call_that_the_checker_sees_is_found(extraction: Extraction) -> None:
    forms = Counter(item.call.form for item in extraction.calls if item.file.endswith(".ts"))
    assert forms == {"direct": 1156, "new": 21, "static_member": 23}


def test_every_type_and_category_is_there(extraction: Extraction) -> None:
    assert {pattern.type for pattern in extraction.patterns} == set(PATTERN_TYPES)
    assert {pattern.category for pattern in extraction.patterns} == set(CATEGORIES)


def test_all_code_files_are_read(extraction: Extraction) -> None:
    assert not [item for item in extraction.unreadable if item.file.endswith(".ts")]
