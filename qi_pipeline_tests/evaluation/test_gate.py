from collections.abc import Mapping

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.gate import Decision, GateEvidence, GateLine, decide_release
from qi_pipeline.evaluation.records import (
    ArmResult,
    GenerationOptions,
    ParityReport,
    Verification,
)
from qi_pipeline.evaluation.selftest import BadModel, SelfTest
from qi_pipeline_tests.evaluation.outcomes import UNLIKE, arm, score, totals

HALF = ["cat", ""] * 64
NONE = ["ca", "c"] * 64
GENERAL = ["ct"] * 10 + [""] * 10


def parity(**changes: object) -> ParityReport:
    fields: dict[str, object] = {
        "template_equal": True,
        "stop_tokens_equal": True,
        "negative_log_likelihood_adapter": 0.90,
        "negative_log_likelihood_gguf": 0.92,
        "tokens": 4000,
        "difference_allowed": 0.05,
        "token_difference": 0.06,
        "token_difference_allowed": 0.12,
        "adapter": totals([score("cat")] * 16),
        "gguf": totals([score("cat")] * 15 + [score("")]),
        "tasks": 16,
        "holds": True,
        "reason": "They score alike.",
    }
    return ParityReport.model_validate({**fields, **changes})


def self_test(**changes: object) -> SelfTest:
    empty = BadModel(
        name="empty",
        n=128,
        compiles=0,
        adheres=0,
        tests=0,
        hallucinating=0,
        passes=0,
        as_deserved=True,
    )
    fields: dict[str, object] = {
        "references": 128,
        "mutants": 150,
        "mutants_failed": 148,
        "survivors": (),
        "bad_models": (empty,),
    }
    return SelfTest.model_validate({**fields, **changes})


def evidence(new: ArmResult, old: ArmResult, **changes: object) -> GateEvidence:
    fields: dict[str, object] = {
        "candidate_general": arm(new.name, GENERAL, general=True),
        "incumbent_general": arm(old.name, GENERAL, general=True),
        "parity": parity(),
        "self_test": self_test(),
    }
    return GateEvidence.model_validate({"candidate": new, "incumbent": old, **fields, **changes})


def line(decision: Decision, name: str) -> GateLine:
    return next(line for line in decision.lines if line.name == name)


def decide(new: list[str], old: list[str], **changes: object) -> Decision:
    return decide_release(evidence(arm("new", new), arm("old", old), **changes))


def test_a_release_states_every_line_with_its_figures() -> None:
    decision = decide(["cat"] * 128, HALF)
    assert decision.release
    assert [line.name for line in decision.lines] == [
        "headline",
        "categories",
        "regression",
        "parity",
        "references",
    ]
    assert all(line.passed for line in decision.lines)
    headline = line(decision, "headline").figures
    # Clopper-Pearson of 128 of 128: 0.025 ** (1 / 128) = 97.2%.
    assert "128 of 128 (at least 97.2%) against 64 of 128 (at least 41.0%)" in headline
    assert "won 64, lost 0" in headline
    assert headline in decision.reason
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_one_task_fewer_lowers_the_bound_and_refuses() -> None:
    decision = decide([*["cat", ""] * 63, "", ""], HALF)
    assert not decision.release
    assert [line.name for line in decision.lines if not line.passed] == ["headline"]
    assert "headline: 63 of 128" in decision.reason
    assert "lower bound fell" in decision.reason
    assert decide(HALF, [*["cat", ""] * 63, "", ""]).release


def test_a_tie_passes_even_at_zero() -> None:
    decision = decide(NONE, NONE)
    assert decision.release
    assert "0 of 128 (at least 0.0%) against 0 of 128" in line(decision, "headline").figures
    assert decide(HALF, HALF).release


def test_a_tie_with_a_significant_fall_of_a_part_is_refused() -> None:
    # Nothing passes either way, but far fewer answers compile: 12 lost, adjusted for three parts.
    decision = decide(["ca", "c"] * 52 + ["ca", ""] * 12, NONE)
    assert not decision.release
    assert "compiles won 0, lost 12" in decision.reason
    assert "compiles fell significantly" in decision.reason
    # 5 lost and none won: p is 1/32, and three times that is not significant.
    assert decide(["ca", "c"] * 59 + ["ca", ""] * 5, NONE).release


def test_a_clearly_lower_bleu_decides_a_full_tie() -> None:
    new, old = arm("new", NONE, bleu_statistics=UNLIKE), arm("old", NONE)
    decision = decide_release(evidence(new, old))
    assert not decision.release
    assert "BLEU is clearly lower" in line(decision, "headline").figures
    assert decide_release(evidence(old, new)).release


def test_a_lower_bleu_does_not_outweigh_more_that_compiles() -> None:
    better = arm("new", ["ca", "ca"] * 64, bleu_statistics=UNLIKE)
    assert decide_release(evidence(better, arm("old", NONE))).release


def lose(category: int, lost: int, outcomes: list[str]) -> list[str]:
    """Return the outcomes with the first `lost` tasks of a category failed."""
    members = [n for n in range(len(outcomes)) if n // 8 % 4 == category][:lost]
    return ["" if n in members else outcome for n, outcome in enumerate(outcomes)]


def test_a_category_that_falls_refuses_although_the_headline_rises() -> None:
    old = lose(0, 32, ["cat"] * 128)
    new = lose(2, 7, ["cat"] * 128)
    decision = decide(new, old)
    assert line(decision, "headline").passed
    assert [line.name for line in decision.lines if not line.passed] == ["categories"]
    assert "advanced won 0, lost 7 (p 0.031)" in decision.reason
    assert "advanced fell significantly" in decision.reason


def test_a_fall_that_chance_explains_does_not_refuse() -> None:
    # 6 lost of one category: p is 1/64, and four times that (Holm) is 0.0625.
    decision = decide(lose(2, 6, ["cat"] * 128), lose(0, 32, ["cat"] * 128))
    assert decision.release
    assert "advanced won 0, lost 6 (p 0.062)" in line(decision, "categories").figures


def test_a_significant_gain_is_no_fall() -> None:
    assert decide(["cat"] * 128, lose(2, 32, ["cat"] * 128)).release


def test_a_model_that_forgot_general_typescript_is_refused() -> None:
    forgot = arm("new", ["ct"] * 5 + [""] * 15, general=True)
    decision = decide(HALF, HALF, candidate_general=forgot)
    assert [line.name for line in decision.lines if not line.passed] == ["regression"]
    # 5 lost, none won: 1 / 2**5.
    assert "regression: 5 against 10 of 20 general tasks" in decision.reason
    assert "won 0, lost 5 (p 0.031)" in decision.reason
    slightly = arm("new", ["ct"] * 6 + [""] * 14, general=True)
    assert decide(HALF, HALF, candidate_general=slightly).release


def test_general_tasks_are_judged_by_compiler_and_tests_alone() -> None:
    without_rules = arm("new", ["ct"] * 10 + ["ca", "at"] * 5, general=True)
    assert decide(HALF, HALF, candidate_general=without_rules).release


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"template_equal": False}, "chat templates differ"),
        ({"stop_tokens_equal": False}, "stop tokens differ"),
        ({"negative_log_likelihood_gguf": 0.96}, "too much is lost"),
        ({"negative_log_likelihood_gguf": float("nan")}, "too much is lost"),
        ({"tokens": 0}, "too much is lost"),
        ({"holds": False, "reason": "Answers differ."}, "the comparison says no: Answers differ."),
    ],
)
def test_a_file_unlike_its_adapter_is_refused(changes: Mapping[str, object], said: str) -> None:
    decision = decide(["cat"] * 128, HALF, parity=parity(**changes))
    assert [line.name for line in decision.lines if not line.passed] == ["parity"]
    assert said in decision.reason


def test_the_parity_line_gives_its_figures() -> None:
    figures = line(decide(HALF, HALF), "parity").figures
    assert "+0.0200 nats a token over 4000 tokens (at most +0.0500)" in figures
    assert "15 against the adapter's 16 of 16 tasks pass" in figures


@pytest.mark.parametrize(
    "broken",
    [
        self_test(mutants_failed=120),
        self_test(bad_models=[self_test().bad_models[0].model_copy(update={"as_deserved": False})]),
        self_test(references=0),
        self_test(mutants=0, mutants_failed=0),
    ],
)
def test_an_instrument_that_errs_releases_nothing(broken: SelfTest) -> None:
    decision = decide(["cat"] * 128, HALF, self_test=broken)
    assert [line.name for line in decision.lines if not line.passed] == ["references"]
    assert broken.describe() in decision.reason


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        ("candidate_general", "regression"),
        ("incumbent_general", "regression"),
        ("parity", "parity"),
        ("self_test", "references"),
    ],
)
def test_missing_evidence_fails_its_line(missing: str, name: str) -> None:
    decision = decide(["cat"] * 128, HALF, **{missing: None})
    assert not decision.release
    assert [line.name for line in decision.lines if not line.passed] == [name]
    assert decision.reason.startswith(f"Refused by {name}:")


def test_too_few_tasks_release_nothing() -> None:
    decision = decide(["cat"] * 4, [""] * 4)
    assert not line(decision, "headline").passed
    assert not line(decision, "categories").passed
    assert "4 tasks are too few, 5 are needed" in decision.reason
    few = {
        side: arm(name, ["ct"] * 4, general=True)
        for side, name in (("candidate_general", "new"), ("incumbent_general", "old"))
    }
    assert not line(decide(HALF, HALF, **few), "regression").passed


def test_every_failed_line_is_named() -> None:
    decision = decide([""] * 128, HALF, parity=None, self_test=None)
    for name in ("headline", "categories", "parity", "references"):
        assert f"{name}: " in decision.reason
    assert "regression" not in decision.reason


def test_the_incumbent_is_not_released_over_itself() -> None:
    decision = decide_release(evidence(arm("same", HALF), arm("same", HALF)))
    assert not decision.release
    assert "already in place" in decision.reason
    assert all(line.passed for line in decision.lines)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tasks_hash": "other"}, "task suites"),
        ({"library_hash": "other"}, "checker libraries"),
        ({"system_prompt": "other"}, "system prompts"),
        ({"options": GenerationOptions(max_tokens=24)}, "generation options"),
        ({"retrieved": 3}, "retrieval"),
        ({"verification": Verification()}, "verification"),
    ],
)
def test_arms_measured_differently_are_refused(change: dict[str, object], named: str) -> None:
    old = arm("old", HALF)
    with pytest.raises(QiPipelineError, match=named):
        decide_release(evidence(arm("new", HALF).model_copy(update=change), old))
    general = arm("new", GENERAL, general=True).model_copy(update=change)
    with pytest.raises(QiPipelineError, match=named):
        decide_release(evidence(arm("new", HALF), old, candidate_general=general))


def test_general_answers_of_another_model_are_refused() -> None:
    stranger = arm("stranger", GENERAL, general=True)
    for side in ("candidate_general", "incumbent_general"):
        with pytest.raises(QiPipelineError, match="with another model"):
            decide(HALF, HALF, **{side: stranger})


def test_the_number_of_threads_is_no_different_measure() -> None:
    old = arm("old", HALF).model_copy(update={"options": GenerationOptions(threads=1)})
    assert decide_release(evidence(arm("new", HALF), old)).release
