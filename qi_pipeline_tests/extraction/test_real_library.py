"""The real library, when a clone is at hand (`QI_REAL_REPO`)."""

from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

import pytest

from qi_pipeline.extraction.assembly import MAX_MODULE_LINES
from qi_pipeline.extraction.extract import Extraction, extract_patterns
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES
from qi_pipeline.library.profile import load_profile
from qi_pipeline.source.take import take_snapshot

# The commit whose calls were counted with the TypeScript checker.
HEAD = "e7d02fe"

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def extraction(real_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    folder = tmp_path_factory.mktemp("real")
    profile = load_profile()
    snapshot = take_snapshot(
        str(real_repository), HEAD, profile, folder / "snapshots", folder / "mirrors"
    )
    return extract_patterns(snapshot, profile)


def test_every_call_that_the_checker_sees_is_found(extraction: Extraction) -> None:
    forms = Counter(item.call.form for item in extraction.calls if item.file.endswith(".ts"))
    members = forms.pop("instance_member")
    assert forms == {"direct": 1156, "new": 21, "static_member": 23}
    assert members >= 300


def test_every_type_and_category_is_there(extraction: Extraction) -> None:
    assert {pattern.type for pattern in extraction.patterns} == set(PATTERN_TYPES)
    assert {pattern.category for pattern in extraction.patterns} == set(CATEGORIES)


def test_apps_that_the_library_grades_higher_are_harder(extraction: Extraction) -> None:
    profile = load_profile()
    ranks: defaultdict[str, list[int]] = defaultdict(list)
    for pattern in extraction.patterns:
        if pattern.source_kind == "app":
            app = profile.layout_free_path(pattern.metadata.source_file).split("/")[1]
            grade = profile.graded_apps.get(app)
            if grade is not None:
                ranks[app].append(CATEGORIES.index(pattern.category))
    assert ranks.keys() == profile.graded_apps.keys()
    for easier, low in profile.graded_apps.items():
        for harder, high in profile.graded_apps.items():
            if CATEGORIES.index(low) < CATEGORIES.index(high):
                assert mean(ranks[easier]) < mean(ranks[harder]), (easier, harder)


def test_no_pattern_is_longer_than_a_person_would_ask_for(extraction: Extraction) -> None:
    longest = max(pattern.implementation.count("\n") for pattern in extraction.patterns)
    # Imports come on top of the lines that count.
    assert longest <= MAX_MODULE_LINES + 30
    assert any(item.reason.startswith("too large") for item in extraction.left_out)


def test_ids_are_unique(extraction: Extraction) -> None:
    ids = [row.id for row in (*extraction.patterns, *extraction.untyped)]
    assert len(set(ids)) == len(ids)


def test_all_code_files_are_read(extraction: Extraction) -> None:
    assert not [item for item in extraction.unreadable if item.file.endswith(".ts")]
