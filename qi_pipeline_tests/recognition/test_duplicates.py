"""Near-duplicate clusters: exact against brute force, order-independent, blind to imports."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline.recognition import duplicates
from qi_pipeline.recognition.duplicates import (
    DisjointSets,
    cluster_near_duplicates,
    jaccard,
    shingles,
    tokenize,
    without_imports,
)

DIVIDE = """
import { failure, type Result, success, validationError } from "@qi/base";
export function divide(a: number, b: number): Result<number> {
  return b === 0 ? failure(validationError("division by zero")) : success(a / b);
}
"""

# Few words and short texts, so that equal, overlapping and unrelated shingle sets all occur, and
# windows of one long text, whose similarities take every value.
_words = st.lists(st.sampled_from(["a", "b", "1", '"s"', "(", ";"]), max_size=14)
_windows = st.tuples(st.integers(0, 20), st.integers(5, 20)).map(
    lambda window: [f"t{number}" for number in range(window[0], window[0] + window[1])]
)
small_texts = st.lists((_words | _windows).map(" ".join), max_size=12).map(
    lambda texts: {f"id{number:02}": text for number, text in enumerate(texts)}
)


def brute_force_clusters(texts: dict[str, str], threshold: float) -> dict[str, str]:
    clusters = DisjointSets(texts)
    for left, right in itertools.product(texts, repeat=2):
        if jaccard(shingles(texts[left]), shingles(texts[right])) >= threshold:
            clusters.join(left, right)
    return {name: clusters.find(name) for name in texts}


@settings(deadline=None)
@given(small_texts, st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 1.0]))
def test_clusters_equal_those_of_comparing_every_pair(
    texts: dict[str, str], threshold: float
) -> None:
    assert cluster_near_duplicates(texts, threshold) == brute_force_clusters(texts, threshold)


def test_clusters_do_not_depend_on_how_many_texts_are_compared_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {
        f"id{start:02}": " ".join(f"t{number}" for number in range(start, start + 20))
        for start in (0, 40, 41, 80, 2, 120, 122)
    }
    monkeypatch.setattr(duplicates, "_BLOCK", 2)
    found = cluster_near_duplicates(texts)
    assert found == brute_force_clusters(texts, duplicates.NEAR_DUPLICATE_THRESHOLD)
    assert len(set(found.values())) == 4


@settings(deadline=None)
@given(small_texts, st.randoms(use_true_random=False))
def test_the_order_of_the_texts_does_not_matter(
    texts: dict[str, str], generator: random.Random
) -> None:
    names = list(texts)
    generator.shuffle(names)
    shuffled = {name: texts[name] for name in names}
    assert cluster_near_duplicates(shuffled) == cluster_near_duplicates(texts)


@settings(deadline=None)
@given(small_texts)
def test_a_cluster_is_named_by_its_smallest_id(texts: dict[str, str]) -> None:
    clusters = cluster_near_duplicates(texts)
    for name, representative in clusters.items():
        assert representative == min(n for n, r in clusters.items() if r == representative)
        assert representative <= name


@settings(deadline=None)
@given(st.text())
def test_any_text_has_tokens_and_clusters(text: str) -> None:
    assert "".join(tokenize(text)).strip() == "".join(tokenize(text))
    assert cluster_near_duplicates({"b": text, "a": text}) == {"a": "a", "b": "a"}


def test_white_space_comments_and_imports_do_not_count() -> None:
    reformatted = (
        'import { success, failure } from "@qi/base";\nimport type { Result } from "@qi/base";\n'
        'import { validationError } from "@qi/base"\n// splits\n'
        + DIVIDE.split(";", 1)[1].replace("\n", " \n\n").replace("  return", "/* x */return")
    )
    assert cluster_near_duplicates({"x": DIVIDE, "a": reformatted}) == {"a": "a", "x": "a"}


def test_a_renamed_function_joins_and_another_body_does_not() -> None:
    long_body = DIVIDE.replace(
        "success(a / b);", "success(a / b);\n" + "  log(a, b, 1, 2, 3);\n" * 1
    )
    renamed = long_body.replace('"division by zero"', '"no"')
    other = 'export const retry = (n: number): string => `${n} of ${"many"} attempts left`;'
    clusters = cluster_near_duplicates({"a": long_body, "b": renamed, "c": other})
    assert clusters == {"a": "a", "b": "a", "c": "c"}


def test_texts_shorter_than_a_shingle_are_compared_exactly() -> None:
    texts = {"a": "a = 1", "b": "a  = 1", "c": "a = 2", "d": "", "e": "// only a comment"}
    assert cluster_near_duplicates(texts) == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "d"}
    imports = {"a": 'import { x } from "m";', "b": 'import { y } from "m";'}
    assert cluster_near_duplicates(imports) == {"a": "a", "b": "b"}


@pytest.mark.parametrize(
    "statement",
    [
        'import "side-effect";',
        'import * as base from "@qi/base";',
        "import base, { type Result as R } from '@qi/base'",
        'import type { Result } from "@qi/base";',
    ],
)
def test_every_form_of_import_statement_is_dropped(statement: str) -> None:
    assert without_imports(tokenize(statement + "\nrun();")) == ["run", "(", ")", ";"]


@pytest.mark.parametrize("code", ['await import("x")', "import.meta.url", "a.import"])
def test_other_uses_of_the_word_import_stay(code: str) -> None:
    assert "import" in without_imports(tokenize(code))


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold is 0"):
        cluster_near_duplicates({}, 0)


def test_two_thousand_patterns_fall_into_their_families() -> None:
    generator = random.Random(7)  # noqa: S311
    words = [f"name{number}" for number in range(60)] + ["(", ")", "=>", "{", "}", ";", ","]
    base = [[generator.choice(words) for _ in range(150)] for _ in range(400)]
    texts = {}
    for number in range(2000):
        tokens = list(base[number % 400])
        for _ in range(number // 400):
            tokens[generator.randrange(150)] = "changed"
        texts[f"{number:04}"] = " ".join(tokens)
    clusters = cluster_near_duplicates(texts)
    assert len(set(clusters.values())) <= 450
