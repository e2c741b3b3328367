"""Best of several, then repaired: the real checker, and a model whose words are written here."""

from collections.abc import Iterable, Sequence

from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.evaluation.records import Answer, Message, Request, Verification
from qi_pipeline.evaluation.verified import answer_verified, describe_problems
from qi_pipeline.validation.verdict import Diagnostic, Verdict
from qi_pipeline_tests.evaluation.samples import GOOD, NOT_ADHERING, NOT_COMPILING, USELESS

ASKED = {"slot": (Message(role="user", content="Export shelfSlot."),)}


class Scripted:
    """Gives the answers of its script, and remembers what it was asked."""

    def __init__(self, first: Sequence[str], repairs: Sequence[str] = ()) -> None:
        self.first, self.repairs = first, list(repairs)
        self.asked: list[tuple[Request, float]] = []

    def __call__(self, requests: Sequence[Request], temperature: float) -> Iterable[Answer]:
        for request in reversed(requests):
            self.asked.append((request, temperature))
            turns = [message.role for message in request.messages].count("assistant")
            text = self.repairs.pop(0) if turns else self.first[request.sample]
            yield Answer(
                task_id=request.task_id,
                sample=request.sample,
                answer=f"```ts\n{text}```" if text != USELESS else text,
                tokens=10,
                prompt_tokens=5,
                seconds=1.0,
                latency_seconds=1.0,
                first_token_seconds=0.1,
                finish_reason="stop",
                slots=1,
            )


def test_the_first_candidate_that_complies_is_delivered(judge: Judge) -> None:
    model = Scripted([NOT_COMPILING, GOOD, NOT_ADHERING])
    found = answer_verified(ASKED, Verification(best_of=3), model, judge)["slot"]
    assert found.best.found.code == GOOD
    assert found.best.complies
    assert [one.answer.sample for one in found.candidates] == [0, 1, 2]
    assert {(r.sample, t) for r, t in model.asked} == {(0, 0.0), (1, 0.8), (2, 0.8)}


def test_one_that_compiles_goes_before_one_that_does_not(judge: Judge) -> None:
    model = Scripted([NOT_COMPILING, NOT_ADHERING])
    found = answer_verified(ASKED, Verification(best_of=2, repairs=0), model, judge)["slot"]
    assert found.best.found.code == NOT_ADHERING
    assert not found.best.complies


def test_an_empty_answer_never_wins_although_it_compiles(judge: Judge) -> None:
    model = Scripted(["", USELESS, NOT_COMPILING])
    found = answer_verified(ASKED, Verification(best_of=3, repairs=0), model, judge)["slot"]
    assert found.best.found.code == NOT_COMPILING


def test_a_candidate_that_does_not_comply_is_repaired_with_the_compilers_words(
    judge: Judge,
) -> None:
    model = Scripted([NOT_COMPILING], [NOT_ADHERING, GOOD])
    found = answer_verified(ASKED, Verification(best_of=1), model, judge)["slot"]
    assert found.best.found.code == GOOD
    assert [one.turn for one in found.candidates] == [0, 1, 2]
    second, third = (request for request, _ in model.asked[1:])
    assert [message.role for message in second.messages] == ["user", "assistant", "user"]
    assert "missing" in second.messages[1].content
    assert "Cannot find name 'missing'" in second.messages[2].content
    assert "R12" in third.messages[2].content


def test_repairs_end_after_the_turns_allowed_and_the_best_stays(judge: Judge) -> None:
    model = Scripted([NOT_ADHERING], [NOT_COMPILING, NOT_COMPILING])
    found = answer_verified(ASKED, Verification(best_of=1, repairs=2), model, judge)["slot"]
    assert found.best.found.code == NOT_ADHERING
    assert len(found.candidates) == 3


def test_a_repair_that_did_not_help_is_drawn_anew_and_not_asked_in_the_same_words(
    judge: Judge,
) -> None:
    model = Scripted([NOT_ADHERING], [NOT_COMPILING, GOOD])
    found = answer_verified(ASKED, Verification(best_of=1), model, judge)["slot"]
    (second, greedy), (third, drawn) = model.asked[1:]
    assert second.messages == third.messages
    assert (second.sample, greedy) == (0, 0.0)
    assert (third.sample, drawn) == (2, 0.8)
    assert found.best.found.code == GOOD


def test_nothing_is_repaired_that_complies(judge: Judge) -> None:
    model = Scripted([GOOD])
    answer_verified(ASKED, Verification(best_of=1), model, judge)
    assert len(model.asked) == 1


def test_conversations_do_not_see_each_other(judge: Judge) -> None:
    asked = {"one": ASKED["slot"], "two": (Message(role="user", content="Again."),)}
    model = Scripted([GOOD])
    found = answer_verified(asked, Verification(best_of=1), model, judge)
    assert {key: len(one.candidates) for key, one in found.items()} == {"one": 1, "two": 1}


def test_only_the_first_problems_are_shown_and_long_ones_are_cut() -> None:
    many = tuple(Diagnostic(code=2304, line=n, column=1, message="x" * 1000) for n in range(1, 11))
    text = describe_problems(Verdict(compiles=False, diagnostics=many, rules=(), symbols=()))
    assert text.count("TS2304") == 6
    assert text.endswith("- and 4 more")
    assert max(map(len, text.splitlines())) < 340
