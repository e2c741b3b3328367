"""Recognition on the real library, when a clone is at hand (`QI_REAL_REPO`)."""

from functools import partial
from pathlib import Path

import pytest

from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.library.profile import load_profile
from qi_pipeline.recognition.cache import EmbeddingCache
from qi_pipeline.recognition.embeddings import EMBEDDING_MODEL_ID, embed_texts
from qi_pipeline.recognition.recognize import recognize
from qi_pipeline.recognition.records import RecognitionReport
from qi_pipeline.source.take import take_snapshot

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def report(real_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> RecognitionReport:
    folder = tmp_path_factory.mktemp("real")
    profile = load_profile()
    snapshot = take_snapshot(
        str(real_repository), "HEAD", profile, folder / "snapshots", folder / "mirrors"
    )
    extraction = extract_patterns(snapshot, profile)
    embed = partial(embed_texts, cache=EmbeddingCache(folder / "vectors", EMBEDDING_MODEL_ID))
    return recognize([*extraction.patterns, *extraction.untyped], embed)


def test_suggestions_beat_both_baselines(report: RecognitionReport) -> None:
    agreement = report.agreement
    assert agreement.accuracy > agreement.majority_accuracy + 0.2
    assert agreement.accuracy >= agreement.neighbour_accuracy


def test_confidence_means_what_it_says(report: RecognitionReport) -> None:
    assert report.agreement.calibration_error < 0.1
    surest = report.agreement.bands[-1]
    assert surest.accuracy is not None
    assert surest.accuracy > 0.85


def test_units_fall_into_many_clusters_and_most_of_them_into_one(report: RecognitionReport) -> None:
    assert len(report.clusters) > 10
    assert report.noise_share < 0.5
    assert max(cluster.size for cluster in report.clusters) < 0.2 * len(report.recognitions)
