"""Agreement is counted as the definitions say, on answers made by hand; the pictures show it."""

import struct

import pytest

from qi_pipeline.extraction.pattern import PatternType
from qi_pipeline.recognition.agreement import confusion_table, measure_agreement
from qi_pipeline.recognition.neighbours import Neighbour, find_neighbours
from qi_pipeline.recognition.plots import plot_confusion, plot_map
from qi_pipeline.recognition.recognize import recognize
from qi_pipeline.recognition.records import Agreement
from qi_pipeline.recognition.suggestions import SuggestedType
from qi_pipeline.recognition.units import EmbeddedUnits, embed_units
from qi_pipeline_tests.recognition.planted import (
    arithmetic_vectors,
    planted_library,
    planted_unit,
    unit,
)

CACHE: PatternType = "cache_patterns"
LOGGER: PatternType = "logger_integration"
CONFIG: PatternType = "config_management"


def four_units() -> EmbeddedUnits:
    """Three of the cache type, one of the logger type that also shows config, one untyped."""
    caches = [planted_unit(CACHE, file).typed(CACHE) for file in ("a", "b", "c")]
    logger = planted_unit(LOGGER, "d").typed(LOGGER, (LOGGER, CONFIG))
    return embed_units([*caches, logger, unit("zz", "?", "?", "e")], arithmetic_vectors)


def measured() -> Agreement:
    answers = [
        SuggestedType(CACHE, 0.95),
        SuggestedType(CACHE, 1.0),
        SuggestedType(LOGGER, 0.5),
        SuggestedType(CONFIG, 0.2),
        SuggestedType(CACHE, 0.9),
    ]
    units = four_units()
    return measure_agreement(units, answers, [[Neighbour(0, 0.5)], [], [], [], []])


def test_shares_count_typed_units_alone() -> None:
    agreement = measured()
    assert (agreement.count, agreement.files) == (4, 4)
    assert agreement.accuracy == 0.5
    assert agreement.accuracy_any == 0.75
    assert (agreement.majority_type, agreement.majority_accuracy) == (CACHE, 0.75)
    assert agreement.neighbour_accuracy == 0.25
    # Cache: precision 1, recall 2/3, so F1 is 0.8; logger: nothing right.
    assert agreement.macro_f1 == pytest.approx(0.4)


def test_the_confusion_matrix_has_the_syntactic_types_in_its_rows() -> None:
    agreement = measured()
    assert agreement.confusion == {
        CONFIG: {CONFIG: 0, LOGGER: 0, CACHE: 0},
        LOGGER: {CONFIG: 1, LOGGER: 0, CACHE: 0},
        CACHE: {CONFIG: 0, LOGGER: 1, CACHE: 2},
    }
    rows = confusion_table(agreement).splitlines()
    assert rows[0].split("|")[2:6] == [f" {name} " for name in (CONFIG, LOGGER, CACHE, "all")]
    assert rows[4] == f"| {CACHE} | · | 1 | 2 | 3 |"


def test_bands_hold_each_suggestion_once() -> None:
    bands = measured().bands
    assert [(band.low, band.high, band.count) for band in bands] == [
        (0.0, 0.5, 1),
        (0.5, 0.7, 1),
        (0.7, 0.9, 0),
        (0.9, 1.0, 2),
    ]
    assert [band.accuracy for band in bands] == [0, 0, None, 1]
    assert bands[3].mean_confidence == pytest.approx(0.975)
    assert measured().calibration_error == pytest.approx((0.2 + 0.5 + 2 * 0.025) / 4)


def size_of(picture: bytes) -> tuple[int, int]:
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


def test_the_map_is_a_picture_and_the_same_each_time() -> None:
    units = embed_units([*planted_library(), unit("zz", "?", "?", "e")], arithmetic_vectors)
    report = recognize(units.patterns, arithmetic_vectors)
    picture = plot_map(units.patterns, units.vectors, report)
    assert size_of(picture) == (1320, 825)
    assert plot_map(units.patterns, units.vectors, report) == picture


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_a_map_of_few_units_is_drawn_too(count: int) -> None:
    units = embed_units(planted_library()[:count], arithmetic_vectors)
    assert len(find_neighbours(units)) == count
    report = recognize(units.patterns, arithmetic_vectors)
    assert size_of(plot_map(units.patterns, units.vectors, report)) == (1320, 825)


def test_the_confusion_matrix_is_a_picture_and_the_same_each_time() -> None:
    picture = plot_confusion(measured())
    assert size_of(picture) == (935, 770)
    assert plot_confusion(measured()) == picture
