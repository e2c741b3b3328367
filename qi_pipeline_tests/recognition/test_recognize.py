"""Recognition with the real MiniLM on a planted library: right, nothing leaks, repeatable."""

import random
import subprocess
import sys
from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import Pattern, UntypedPattern
from qi_pipeline.recognition.embeddings import embed_texts
from qi_pipeline.recognition.neighbours import find_neighbours, novelties, vote
from qi_pipeline.recognition.recognize import recognize
from qi_pipeline.recognition.records import Recognition
from qi_pipeline.recognition.suggestions import suggest_types
from qi_pipeline.recognition.units import embed_units
from qi_pipeline_tests.recognition.planted import (
    ALIEN,
    FILES,
    KINDS,
    arithmetic_vectors,
    planted_library,
    planted_unit,
    unit,
)

LAZY = """
import sys
import qi_pipeline.recognition.plots
import qi_pipeline.recognition.recognize
heavy = ("torch", "transformers", "sklearn", "scipy", "matplotlib", "numpy")
print([name for name in heavy if name in sys.modules])
"""


@lru_cache(maxsize=256)
def _vector(text: str) -> NDArray[np.float32]:
    found: NDArray[np.float32] = embed_texts([text])[0]
    return found


def minilm(texts: object) -> NDArray[np.float32]:
    """Embed with the real model, each distinct text of this module once."""
    return np.array([_vector(text) for text in texts])  # type: ignore[attr-defined]


def recognized(units: list[UntypedPattern]) -> dict[str, Recognition]:
    return recognize(units, minilm).by_id()


def test_units_of_planted_kinds_get_their_kind() -> None:
    report = recognize(planted_library(), minilm)
    assert report.agreement.accuracy == 1
    assert report.agreement.accuracy > report.agreement.majority_accuracy
    assert report.agreement.neighbour_accuracy == 1
    assert report.agreement.count == 18
    assert report.agreement.files == 6


def test_a_unit_without_a_type_gets_a_suggestion_and_teaches_nothing() -> None:
    library = planted_library()
    newcomer = planted_unit("logger_integration", "trains")
    rows = recognized([*library, newcomer])
    assert rows[newcomer.id].suggested_type == "logger_integration"
    assert rows[newcomer.id].confidence > 0.4
    assert not any(newcomer.id in row.nearest for row in rows.values())
    alone = recognized([*library])
    assert {name: rows[name].novelty for name in alone} == {
        name: row.novelty for name, row in alone.items()
    }


def test_clusters_are_the_planted_kinds() -> None:
    report = recognize(planted_library(), minilm)
    kinds = {row.id.split("-")[0]: row.cluster for row in report.recognitions}
    assert report.noise_share == 0
    assert sorted(kinds.values()) == [0, 1, 2]
    assert all(row.cluster == kinds[row.id.split("-")[0]] for row in report.recognitions)
    assert {cluster.label for cluster in report.clusters} == {
        "cache_patterns: createMemoryCache",
        "logger_integration: createLogger",
        "config_management: ConfigBuilder",
    }
    assert [cluster.size for cluster in report.clusters] == [6, 6, 6]


def test_a_unit_of_an_alien_kind_is_the_most_novel() -> None:
    alien = unit("alien", *ALIEN, file="garden")
    newcomer = planted_unit("cache_patterns", "trains")
    rows = recognized([*planted_library(), alien, newcomer])
    assert rows["alien"].novelty == max(row.novelty for row in rows.values())
    assert rows["alien"].novelty > 0.95
    assert rows[newcomer.id].novelty < 0.95


def test_copies_in_other_files_do_not_leak_their_type() -> None:
    # The only units of their type: whoever sees another copy knows the answer.
    copies = [
        unit(f"copy-{file}", *ALIEN, file=file).typed("factory_functions")
        for file in ("garden", "park", "meadow")
    ]
    rows = recognized([*planted_library(), *copies])
    for copy in copies:
        assert rows[copy.id].suggested_type != "factory_functions"
        assert not any(near.startswith("copy") for near in rows[copy.id].nearest)


def test_a_resembling_unit_of_the_same_file_does_not_leak_its_type() -> None:
    siblings = [
        unit(f"sibling-{number}", *ALIEN, file="garden").model_copy(
            update={
                "implementation": ALIEN[1].replace("petals", f"petals{number}, {'x, ' * number}")
            }
        )
        for number in range(4)
    ]
    rows = recognized([*planted_library(), *(s.typed("factory_functions") for s in siblings)])
    for sibling in siblings:
        assert rows[sibling.id].suggested_type != "factory_functions"
        assert not any(near.startswith("sibling") for near in rows[sibling.id].nearest)


def test_what_may_teach_shares_neither_file_nor_text_with_the_held_out() -> None:
    units = embed_units(planted_library(), arithmetic_vectors)
    for place, pattern in enumerate(units.patterns):
        teachers = {units.patterns[other].id for other in units.apart_from([place])}
        assert len(teachers) == 15
        assert not any(name.endswith(pattern.id.split("-")[1]) for name in teachers)


def test_the_order_of_the_units_does_not_matter_and_a_second_run_is_equal() -> None:
    units: list[UntypedPattern] = [*planted_library(), unit("alien", *ALIEN, file="garden")]
    first = recognize(units, minilm)
    random.Random(3).shuffle(units)  # noqa: S311
    second = recognize(units, minilm)
    unmeasured = {"embedding_seconds", "recognition_seconds"}
    assert first.model_dump(exclude=unmeasured) == second.model_dump(exclude=unmeasured)


def test_probabilities_and_novelties_lie_between_zero_and_one() -> None:
    for row in recognize(planted_library(), arithmetic_vectors).recognitions:
        assert 1 / len(KINDS) <= row.confidence <= 1
        assert 0 <= row.novelty <= 1


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_novelty_grows_with_the_distance_to_the_third_nearest(seed: int, count: int) -> None:
    generator = random.Random(seed)  # noqa: S311
    patterns: list[UntypedPattern] = []
    for number in range(count):
        word = str(generator.random())
        one = unit(f"{number:02}", word, f"f({word}, {number})", generator.choice(FILES))
        patterns.append(one.typed("cache_patterns") if generator.random() < 0.7 else one)
    units = embed_units(patterns, arithmetic_vectors)
    neighbours = find_neighbours(units)
    values = novelties(units, neighbours)
    distances = [1 - near[:3][-1].similarity if near else 2.0 for near in neighbours]
    assert all(0 <= value <= 1 for value in values)
    ordered = [value for _, value in sorted(zip(distances, values, strict=True))]
    assert ordered == sorted(ordered)


def test_a_vote_goes_to_the_type_with_most_similarity_behind_it() -> None:
    units = embed_units(planted_library(), minilm)
    found = find_neighbours(units)
    assert all(len(near) == 5 for near in found)
    ballots = Counter(vote(units, near) == units.types[n] for n, near in enumerate(found))
    assert ballots == {True: 18}
    assert vote(units, ()) is None


def test_one_file_alone_teaches_nothing_and_says_so_by_confidence_zero() -> None:
    lone: list[UntypedPattern] = [planted_unit(kind, "users").typed(kind) for kind in KINDS]
    for row in recognized(lone).values():
        assert row.confidence == 0
        assert row.novelty == 1
        assert row.nearest == ()


def test_one_type_alone_is_suggested_with_confidence_zero() -> None:
    units = embed_units(
        [planted_unit("cache_patterns", file).typed("cache_patterns") for file in FILES], minilm
    )
    assert {(s.type, s.confidence) for s in suggest_types(units)} == {("cache_patterns", 0.0)}


def test_units_without_any_type_are_refused() -> None:
    with pytest.raises(QiPipelineError, match="none of 6 units has a type"):
        recognize([planted_unit("cache_patterns", file) for file in FILES], arithmetic_vectors)


def test_two_units_with_one_id_are_refused() -> None:
    twice: list[Pattern] = [*planted_library(), *planted_library()]
    with pytest.raises(ValueError, match="share an id"):
        recognize(twice, arithmetic_vectors)


def test_importing_recognition_loads_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
