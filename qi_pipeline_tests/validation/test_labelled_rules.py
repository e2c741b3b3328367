"""Every rule on labelled code: what it must find, and what only looks like it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_pipeline.library.profile import load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.validation.program import SourceProgram
from qi_pipeline.validation.verdict import RuleViolation
from qi_pipeline_tests.validation.conftest import TOOLCHAIN
from qi_pipeline_tests.validation.labelled import (
    fixture_texts,
    judge_fixtures,
    labels_of,
    library_sources,
    look_alikes_of,
    open_fixtures,
    place_of,
)

RULES = [f"R{number}" for number in range(1, 14)]
COMPLIANT = {
    "R1": "match(onOk, onErr, r)",
    "R2": "unwrapOr(fallback, r)",
    "R3": "match(onOk, onErr, r)",
    "R4": "(fn, r)",
    "R5": "match(onOk, onErr, r)",
    "R6": "Async(",
    "R7": "return failure(...)",
    "R8": "fromTryCatch(",
    "R9": "VALIDATION, NETWORK",
    "R10": "failure(validationError(",
    "R11": "match(",
    "R12": "unknown",
    "R13": "write ",
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled") / "sample"
    build_sample_repository(root)
    return root


@pytest.fixture(scope="module")
def program(sample: Path) -> Iterator[SourceProgram]:
    with open_fixtures(sample, TOOLCHAIN) as running:
        yield running


@pytest.fixture(scope="module")
def violations(program: SourceProgram) -> dict[str, tuple[RuleViolation, ...]]:
    found = program.violations([place_of(name) for name in fixture_texts()])
    return {name: found[place_of(name)] for name in fixture_texts()}


def test_every_labelled_line_is_found_and_no_other(sample: Path) -> None:
    found, missed, labelled = judge_fixtures(sample, TOOLCHAIN)
    assert (found, missed) == (set(), set())
    assert labelled > len(RULES) * 8


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_enough_labels_of_both_sorts(rule: str) -> None:
    text = fixture_texts()[f"{rule}.ts"]
    labels = Counter(label for _, _, label in labels_of(rule, text))
    assert labels[rule] >= 8
    assert look_alikes_of(text) >= 8


def test_lines_that_are_in_order_compile(program: SourceProgram) -> None:
    texts = fixture_texts()
    found = program.diagnostics([place_of(name) for name in texts])
    labelled = {(name, line) for name in texts for _, line, _ in labels_of(name, texts[name])}
    failing = {(name, one.line): one.message for name in texts for one in found[place_of(name)]}
    assert {place: failing[place] for place in failing.keys() - labelled} == {}


@pytest.mark.parametrize("rule", RULES)
def test_a_message_says_the_compliant_form(
    violations: dict[str, tuple[RuleViolation, ...]], rule: str
) -> None:
    messages = [one.message for one in violations[f"{rule}.ts"] if one.id == rule]
    assert messages
    assert [message for message in messages if COMPLIANT[rule] not in message] == []
    assert [message for message in messages if "{" in message] == []


@pytest.mark.parametrize("rule", RULES)
def test_only_a_soft_rule_warns(
    violations: dict[str, tuple[RuleViolation, ...]], rule: str
) -> None:
    severities = {one.severity for one in violations[f"{rule}.ts"] if one.id == rule}
    assert severities == {"warning" if rule == "R8" else "error"}


def test_every_rule_of_the_profile_is_labelled() -> None:
    assert list(load_profile().rules) == RULES


def test_a_cast_and_a_missing_suffix_name_what_to_write(
    violations: dict[str, tuple[RuleViolation, ...]],
) -> None:
    imports = {one.message for one in violations["R13.ts"]}
    assert 'imports "./neighbour"; write "./neighbour.js"' in imports
    assert 'imports "./neighbour.ts"; write "./neighbour.js"' in imports
    assert 'imports "."; write "./index.js"' in imports
    assert "imports Settings as a value; write type Config as Settings" in imports
    assert any("(a cast)" in one.message for one in violations["R11.ts"])


def test_the_library_itself_only_reads_the_results_that_it_is_made_of(sample: Path) -> None:
    profile = load_profile()
    sources = library_sources(sample, profile)
    with SourceProgram(sources, profile, TOOLCHAIN) as running:
        found = running.violations(list(sources))
    by_rule = Counter(one.id for violations in found.values() for one in violations)
    assert set(by_rule) == {"R1", "R2", "R3"}
    assert {path for path, violations in found.items() if violations} == {
        "lib/base/src/async.ts",
        "lib/base/src/result.ts",
    }


def test_a_file_that_ends_anywhere_is_judged_alike_alone_and_in_company(sample: Path) -> None:
    profile = load_profile()
    library = library_sources(sample, profile)
    cut = {
        place_of(f"{name}-{eighth}.ts"): text[: len(text) * eighth // 8]
        for name, text in fixture_texts().items()
        for eighth in range(1, 8)
    }
    with SourceProgram({**library, **cut}, profile, TOOLCHAIN) as running:
        together = running.violations(list(cut))
        alone = {path: running.violations([path])[path] for path in cut}
    assert together == alone
