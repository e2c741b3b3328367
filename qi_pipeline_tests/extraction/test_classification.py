"""Types, categories and complexity."""

from dataclasses import fields, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.extraction.classification import (
    Features,
    categorize,
    classify,
    difficulty,
    measure,
)
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES
from qi_pipeline.extraction.syntax import parse_module
from qi_pipeline_tests.extraction.planted import PROFILE

SYMBOLS = sorted(PROFILE.type_of_symbol)
COUNT = st.integers(0, 50)
FEATURES = st.builds(Features, COUNT, st.integers(1, 50), COUNT, COUNT, COUNT)


def base(*names: str) -> list[str]:
    return [f"@qi/base:{name}" for name in names]


def core(*names: str) -> list[str]:
    return [f"@qi/core:{name}" for name in names]


@pytest.mark.parametrize(
    ("symbols", "name", "expected"),
    [
        (base("success"), "load", "result_creation"),
        (base("failure", "validationError"), "load", "error_handling"),
        (base("map"), "load", "functional_composition"),
        (base("map", "success", "failure"), "load", "result_creation"),
        (base("map", "success"), "load", "functional_composition"),
        (core("ConfigBuilder"), "load", "config_management"),
        (core("ConfigBuilder") + base("match"), "load", "config_management"),
        (core("createLogger") + base("create", "failure"), "load", "logger_integration"),
        (core("loggerError"), "load", "logger_integration"),
        (base("loggerError"), "load", "error_handling"),
        (core("createMemoryCache"), "load", "cache_patterns"),
        (base("success"), "createUser", "factory_functions"),
        (core("createLogger"), "makeLogger", "factory_functions"),
        (base("success"), "createdAt", "result_creation"),
        (core("createLogger", "createCache"), "load", "integration_patterns"),
        (core("createLogger", "createCache"), "createAll", "integration_patterns"),
        (core("createCache") + base("match", "flatMap"), "load", "integration_patterns"),
        (base("unheardOf"), "createUser", None),
        ([], "createUser", None),
    ],
)
def test_symbols_and_name_decide_the_type(
    symbols: list[str], name: str, expected: str | None
) -> None:
    assert classify(symbols, name, PROFILE) == expected


@given(st.lists(st.sampled_from(SYMBOLS), min_size=1), st.randoms())
def test_a_type_depends_on_the_set_of_symbols_alone(symbols: list[str], random: Random) -> None:
    shuffled = [*symbols, symbols[0]]
    random.shuffle(shuffled)
    found = classify(symbols, "load", PROFILE)
    assert found == classify(shuffled, "load", PROFILE)
    assert found in PATTERN_TYPES


@given(FEATURES, st.sampled_from([field.name for field in fields(Features)]), st.integers(1, 20))
def test_more_of_any_feature_never_lowers_the_category(
    features: Features, name: str, more: int
) -> None:
    larger = replace(features, **{name: getattr(features, name) + more})
    assert difficulty(larger) >= difficulty(features)
    assert CATEGORIES.index(categorize(larger)) >= CATEGORIES.index(categorize(features))


@pytest.mark.parametrize(
    ("features", "category"),
    [
        (Features(1, 1, 1, 0, 3), "basic"),
        (Features(3, 2, 2, 1, 15), "intermediate"),
        (Features(5, 4, 3, 2, 40), "advanced"),
        (Features(8, 10, 4, 6, 120), "expert"),
    ],
)
def test_every_category_is_reached(features: Features, category: str) -> None:
    assert categorize(features) == category


@pytest.mark.parametrize(
    ("text", "complexity"),
    [
        ("const f = () => 1;", 1),
        ("function f() { if (a) {} else if (b) {} }", 3),
        ("const f = () => a ? b : c ?? d;", 3),
        ("const f = () => a && b || c;", 3),
        ("for (const x of y) { while (a) {} do {} while (b); }", 4),
        ("switch (a) { case 1: case 2: default: }", 3),
        ("try {} catch {} finally {}", 2),
        ("const f = () => a + b;", 1),
    ],
)
def test_complexity_is_decision_points_plus_one(text: str, complexity: int) -> None:
    assert measure([parse_module(text).root], []).complexity == complexity


def test_measures_count_symbols_once_and_depth_by_nested_functions() -> None:
    text = "const f = async () => {\n  await g(() => h(function () {}));\n  await i;\n};"
    assert measure([parse_module(text).root], ["a", "a", "b"]) == Features(2, 1, 3, 2, 4)


def test_functions_side_by_side_are_no_deeper_than_one() -> None:
    text = "function a() {} function b() {} class C { m() {} n() { return () => 1; } }"
    assert measure([parse_module(text).root], []).depth == 2
