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
from qi_pipeline.library.profile import Integration
from qi_pipeline_tests.extraction.planted import PROFILE

SYMBOLS = sorted(PROFILE.type_of_symbol)
COUNT = st.integers(0, 50)
FEATURES = st.builds(Features, COUNT, st.integers(1, 50), COUNT, COUNT, COUNT, COUNT)


def base(*names: str) -> list[str]:
    return [f"@qi/base:{name}" for name in names]


def core(*names: str) -> list[str]:
    return [f"@qi/core:{name}" for name in names]


@pytest.mark.parametrize(
    ("symbols", "name", "expected"),
    [
        (base("success"), "load", ["result_creation"]),
        (base("failure", "validationError"), "load", ["error_handling", "result_creation"]),
        (base("map"), "load", ["functional_composition"]),
        (base("map", "success", "failure"), "load", ["result_creation", "functional_composition"]),
        (base("map", "success"), "load", ["functional_composition", "result_creation"]),
        (core("ConfigBuilder"), "load", ["config_management"]),
        (
            core("ConfigBuilder") + base("match"),
            "load",
            ["config_management", "functional_composition"],
        ),
        (
            core("createLogger") + base("create", "failure"),
            "load",
            ["logger_integration", "error_handling", "result_creation"],
        ),
        (core("loggerError"), "load", ["logger_integration"]),
        (base("loggerError"), "load", ["error_handling"]),
        (core("createMemoryCache"), "load", ["cache_patterns"]),
        (base("success"), "createUser", ["factory_functions", "result_creation"]),
        (core("createLogger"), "makeLogger", ["factory_functions", "logger_integration"]),
        (base("success"), "createdAt", ["result_creation"]),
        (
            core("createLogger", "Logger", "createCache"),
            "load",
            ["integration_patterns", "logger_integration", "cache_patterns"],
        ),
        (
            core("createLogger", "createCache"),
            "createAll",
            ["integration_patterns", "factory_functions", "logger_integration", "cache_patterns"],
        ),
        (
            core("createCache") + base("match", "flatMap"),
            "load",
            ["integration_patterns", "cache_patterns", "functional_composition"],
        ),
        (base("unheardOf"), "createUser", []),
        ([], "createUser", []),
    ],
)
def test_symbols_and_name_decide_the_types_and_their_order(
    symbols: list[str], name: str, expected: list[str]
) -> None:
    assert classify(symbols, name, PROFILE) == tuple(expected)


def test_what_makes_an_integration_is_the_profile_s_to_say() -> None:
    symbols = [*core("createLogger"), *base("match")]
    assert "integration_patterns" not in classify(symbols, "load", PROFILE)
    area = PROFILE.integration.areas["composition"].model_copy(update={"symbols": 1})
    areas = {**PROFILE.integration.areas, "composition": area}
    looser = PROFILE.model_copy(update={"integration": Integration(areas=areas)})
    assert classify(symbols, "load", looser)[0] == "integration_patterns"
    stricter = PROFILE.model_copy(update={"integration": Integration(minimum_areas=3, areas=areas)})
    assert "integration_patterns" not in classify(symbols, "load", stricter)


@given(st.lists(st.sampled_from(SYMBOLS), min_size=1), st.randoms())
def test_types_depend_on_the_set_of_symbols_alone(symbols: list[str], random: Random) -> None:
    shuffled = [*symbols, symbols[0]]
    random.shuffle(shuffled)
    found = classify(symbols, "load", PROFILE)
    assert found == classify(shuffled, "load", PROFILE)
    assert found
    assert len(set(found)) == len(found)
    assert set(found) <= set(PATTERN_TYPES)


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
        (Features(1, 1, 1, 0, 0, 3), "basic"),
        (Features(3, 2, 2, 0, 1, 15), "intermediate"),
        (Features(4, 3, 3, 1, 1, 40), "advanced"),
        (Features(8, 10, 4, 6, 5, 120), "expert"),
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
    assert measured(text).complexity == complexity


def measured(text: str, *symbols: str) -> Features:
    module = parse_module(text)
    return measure([module.root], symbols, PROFILE)


def test_measures_count_symbols_once_and_depth_by_nested_functions() -> None:
    text = "const f = async () => {\n  await g(() => h(function () {}));\n  await i;\n};"
    assert measured(text, "a", "a", "b") == Features(2, 1, 3, 2, 0, 4)


def test_error_paths_are_catch_clauses_and_symbols_of_errors() -> None:
    text = "try { a() } catch { b() }"
    assert measured(text, "@qi/base:create", "@qi/base:mapError", "@qi/base:map").error_paths == 3


def test_functions_side_by_side_are_no_deeper_than_one() -> None:
    text = "function a() {} function b() {} class C { m() {} n() { return () => 1; } }"
    assert measured(text).depth == 2


def test_only_what_lies_in_the_measured_nodes_counts() -> None:
    module = parse_module("if (a) {}\nconst f = async () => { await b; };\nif (c) {}")
    nodes = module.root.named_children[1:2]
    assert measure(nodes, [], PROFILE) == Features(0, 1, 1, 1, 0, 1)
