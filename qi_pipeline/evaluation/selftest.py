"""Whether the instrument measures: answers whose worth is known, put through all of it.

Flows in: a suite, a judge, mutants of the references. Flows out: a `SelfTest`. References must
pass, mutants of them must fail, and models that are bad on purpose must get the scores that they
deserve. How mutants are made belongs to `sandbox.mutants`.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from pydantic import BaseModel, ConfigDict

from qi_pipeline.evaluation.judge import Judge, Judgement, Submission
from qi_pipeline.evaluation.references import check_references
from qi_pipeline.evaluation.tasks import Task
from qi_pipeline.library.profile import Profile
from qi_pipeline.sandbox.mutants import Mutant

MUTANTS: Final = 150
"""Drawn for one self-test."""
SHARE_THAT_FAILS: Final = 0.95
"""Least share of the mutants that must not pass."""
_SURVIVORS_SHOWN = 10


class BadModel(BaseModel):
    """A model that is bad on purpose, and how it scored."""

    model_config = ConfigDict(frozen=True)

    name: str
    n: int
    """Tasks."""
    compiles: int
    adheres: int
    tests: int
    hallucinating: int
    """Answers that name what does not exist."""
    passes: int
    as_deserved: bool
    """Whether these are the scores that such a model must get."""


class SelfTest(BaseModel):
    """What the instrument made of answers whose worth is known."""

    model_config = ConfigDict(frozen=True)

    references: int
    """All of them passed; otherwise there is no self-test but an error."""
    mutants: int
    mutants_failed: int
    survivors: tuple[str, ...]
    """The first mutants that passed: task, line, what became of what."""
    bad_models: tuple[BadModel, ...]

    @property
    def holds(self) -> bool:
        """True when mutants fail often enough and every bad model scores as it deserves."""
        enough = self.mutants > 0 and self.mutants_failed >= SHARE_THAT_FAILS * self.mutants
        return enough and all(model.as_deserved for model in self.bad_models)

    def describe(self) -> str:
        """Return what was found in one line."""
        bad = [model.name for model in self.bad_models if not model.as_deserved]
        wrong = f"; scored not as deserved: {', '.join(bad)}" if bad else ""
        return (
            f"{self.references} references pass, {self.mutants_failed} of {self.mutants} mutants "
            f"fail, {len(self.bad_models)} bad models{wrong}"
        )


def _echo(task: Task) -> str:
    return task.prompt


def _nothing(_task: Task) -> str:
    return ""


_Deserved = Callable[[BadModel], bool]
_BAD_MODELS: Mapping[str, tuple[Callable[[Task], str], _Deserved]] = {
    "echo": (_echo, lambda one: one.compiles == one.adheres == one.tests == 0),
    "empty": (_nothing, lambda one: one.compiles == one.adheres == one.tests == 0),
}
_BAD_ANSWERS: Mapping[str, _Deserved] = {
    "always success": lambda one: one.compiles == one.n and one.tests == 0,
    "wrong API": lambda one: one.compiles == one.tests == 0 and one.hallucinating == one.n,
}
"""Of the profile's bad answers: they are written in the library's own names."""


def _bad_models(profile: Profile) -> Iterator[tuple[str, Callable[[Task], str], _Deserved]]:
    for name, (answer, deserved) in _BAD_MODELS.items():
        yield name, answer, deserved
    for name, module in profile.bad_answers.items():
        yield name, partial(_filled_in, module), _BAD_ANSWERS[name]


def _filled_in(module: str, task: Task) -> str:
    return module.replace("ENTRY_POINT", task.entry_point)


def run_self_test(
    tasks: Sequence[Task], mutants: Mapping[str, Sequence[Mutant]], judge: Judge, seed: int = 0
) -> SelfTest:
    """Put references, mutants and bad models through the judge.

    mutants: of each reference, by task id; MUTANTS of them are drawn, the same ones every time.

    Raises QiPipelineError, naming the tasks, when a reference does not pass; SandboxRefusedError
    when this machine refuses to run untrusted code safely.
    """
    references = check_references(tasks, judge)
    drawn = _draw(tasks, mutants, seed)
    judged = judge.judge([Submission(task, mutant.module) for task, mutant in drawn])
    survivors = [
        f"{task.id}:{mutant.line} {mutant.original!r} -> {mutant.replacement!r}"
        for (task, mutant), one in zip(drawn, judged, strict=True)
        if one.score.passes
    ]
    return SelfTest(
        references=len(references),
        mutants=len(drawn),
        mutants_failed=len(drawn) - len(survivors),
        survivors=tuple(survivors[:_SURVIVORS_SHOWN]),
        bad_models=tuple(
            _measure(name, tasks, answer, deserved, judge)
            for name, answer, deserved in _bad_models(judge.checker.profile)
        ),
    )


def _draw(
    tasks: Sequence[Task], mutants: Mapping[str, Sequence[Mutant]], seed: int
) -> list[tuple[Task, Mutant]]:
    pairs = [(task, mutant) for task in tasks for mutant in mutants.get(task.id, ())]
    return random.Random(seed).sample(pairs, min(MUTANTS, len(pairs)))  # noqa: S311


def _measure(
    name: str,
    tasks: Sequence[Task],
    answer: Callable[[Task], str],
    deserved: _Deserved,
    judge: Judge,
) -> BadModel:
    submissions = [Submission(task, judge.code_of(answer(task)).code) for task in tasks]
    judged = judge.judge(submissions)

    def count(holds: Callable[[Judgement], bool]) -> int:
        return sum(map(holds, judged))

    model = BadModel(
        name=name,
        n=len(tasks),
        compiles=count(lambda one: one.score.compiles),
        adheres=count(lambda one: one.score.adheres),
        tests=count(lambda one: one.score.tests_passed),
        hallucinating=count(lambda one: bool(one.score.hallucinated)),
        passes=count(lambda one: one.score.passes),
        as_deserved=True,
    )
    as_deserved = deserved(model) and model.passes == 0
    return model.model_copy(update={"as_deserved": as_deserved})
