"""Answers that were checked before they are given: best of several, then repaired.

Flows in: conversations, a way to generate, a way to judge. Flows out: for each conversation the
answer that is delivered and the attempts that led to it. Candidates are ranked by their verdict
alone - nobody who answers a question knows its tests. What is delivered may still not comply: then
it is the best there was.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qi_pipeline.evaluation.answers import ExtractedCode
from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.evaluation.records import Answer, Attempt, Message, Request, Verification
from qi_pipeline.validation.verdict import Verdict

Generate = Callable[[Sequence[Request], float], Iterable[Answer]]
"""Requests and a temperature to answers, each once and in any order."""

_MESSAGES_SHOWN = 6
_MESSAGE_LENGTH = 300
_REPAIR = """That module does not pass the checks:

{problems}

Write the whole module again with these problems mended. Answer with one TypeScript code block."""


@dataclass(frozen=True)
class Candidate:
    """One answer on its way to being delivered."""

    turn: int
    answer: Answer
    found: ExtractedCode
    verdict: Verdict

    @property
    def complies(self) -> bool:
        """True when it is code, compiles and breaks no rule."""
        return self.found.how != "none" and bool(self.found.code.strip()) and self.verdict.complies

    def rank(self) -> tuple[bool, bool, bool, int, int]:
        """Return what is compared: the greatest is the best."""
        errors = sum(violation.severity == "error" for violation in self.verdict.rules)
        return (
            self.complies,
            self.found.how != "none" and bool(self.found.code.strip()),
            self.verdict.compiles,
            -len(self.verdict.diagnostics),
            -errors,
        )

    def attempt(self) -> Attempt:
        """Return what is written down of it."""
        return Attempt(
            turn=self.turn,
            sample=self.answer.sample,
            code=self.found.code,
            verdict=self.verdict,
            complies=self.complies,
            tokens=self.answer.tokens,
        )


@dataclass(frozen=True)
class Delivered:
    """What one conversation came to."""

    best: Candidate
    candidates: tuple[Candidate, ...]
    """All that were made, in order."""


def answer_verified(
    conversations: Mapping[str, tuple[Message, ...]],
    how: Verification,
    generate: Generate,
    judge: Judge,
) -> dict[str, Delivered]:
    """Return the delivered answer to every conversation, by its id.

    The first candidate is greedy, `how.best_of - 1` more are drawn. While the best does not comply,
    the model is shown it and what the compiler and the rules say of it, at most `how.repairs`
    times: greedily at first, and drawn when the best is the one that was shown before. Among equals
    the earlier one stays.
    """
    made: dict[str, list[Candidate]] = defaultdict(list)
    greedy = [Request(task_id=key, messages=turns) for key, turns in conversations.items()]
    drawn = [
        Request(task_id=key, messages=turns, sample=sample)
        for key, turns in conversations.items()
        for sample in range(1, how.best_of)
    ]
    for requests, temperature in ((greedy, 0.0), (drawn, how.temperature)):
        _add(made, generate(requests, temperature) if requests else (), 0, judge)
    shown: dict[str, Candidate] = {}
    for turn in range(1, how.repairs + 1):
        open_ids = [key for key in conversations if not _best(made[key]).complies]
        asked: dict[float, list[Request]] = {0.0: [], how.temperature: []}
        for key in open_ids:
            best = _best(made[key])
            # What was shown before would be repaired in the same words again, so they are drawn.
            again = shown.get(key) is best
            shown[key] = best
            asked[how.temperature if again else 0.0].append(
                Request(
                    task_id=key,
                    messages=_repair_turns(conversations[key], best),
                    sample=turn if again else 0,
                )
            )
        for temperature, requests in asked.items():
            _add(made, generate(requests, temperature) if requests else (), turn, judge)
    return {key: Delivered(_best(made[key]), tuple(made[key])) for key in conversations}


def _add(
    made: dict[str, list[Candidate]], answers: Iterable[Answer], turn: int, judge: Judge
) -> None:
    """Judge answers and put them with the others, in the order of their samples."""
    ordered = sorted(answers, key=lambda answer: answer.sample)
    found = [judge.code_of(answer.answer) for answer in ordered]
    verdicts = judge.verdicts({str(number): one.code for number, one in enumerate(found)})
    for number, (answer, code) in enumerate(zip(ordered, found, strict=True)):
        made[answer.task_id].append(Candidate(turn, answer, code, verdicts[str(number)]))


def _best(candidates: Sequence[Candidate]) -> Candidate:
    return max(candidates, key=Candidate.rank)  # the first of equals


def _repair_turns(turns: tuple[Message, ...], best: Candidate) -> tuple[Message, ...]:
    """Return the conversation with the best answer so far and what is wrong with it."""
    shown = f"```typescript\n{best.found.code.strip()}\n```"
    return (
        *turns,
        Message(role="assistant", content=shown),
        Message(role="user", content=_REPAIR.format(problems=describe_problems(best.verdict))),
    )


def describe_problems(verdict: Verdict) -> str:
    """Return what compiler and rules say, a line each, for a model to mend.

    Only the first messages: later ones often follow from them, and small models lose the thread.
    """
    lines = [
        f"- line {found.line}: {_shortened(found.message)} (TS{found.code})"
        for found in verdict.diagnostics
    ]
    lines += [
        f"- line {broken.line}: {_shortened(broken.message)} ({broken.id})"
        for broken in verdict.rules
        if broken.severity == "error"
    ]
    left_out = len(lines) - _MESSAGES_SHOWN
    shown = lines[:_MESSAGES_SHOWN]
    if left_out > 0:
        shown.append(f"- and {left_out} more")
    return "\n".join(shown) or "- it holds no TypeScript module"


def _shortened(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _MESSAGE_LENGTH else f"{line[: _MESSAGE_LENGTH - 1]}…"
