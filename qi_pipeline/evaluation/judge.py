"""Compile, convict, run: what becomes of answers once they are code.

Flows in: tasks and code. Flows out: for each the checker's verdict, the result of its tests in the
sandbox, and the score. Answers are given in portions as they come; each portion costs one round of
the compiler. Asking models belongs to `arms`; references that must pass first to `references`.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from qi_pipeline.evaluation.answers import ExtractedCode, complete_imports, extract_code
from qi_pipeline.evaluation.records import TaskScore, TestResult
from qi_pipeline.evaluation.scoring import score_answer
from qi_pipeline.evaluation.tasks import Task
from qi_pipeline.sandbox.modules import ModuleTest, ModuleTester, TestRun
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.names import LibraryNames
from qi_pipeline.validation.verdict import Verdict

_FAILURES_KEPT = 3
_FAILURE_LENGTH = 500


@dataclass(frozen=True)
class Submission:
    """One answer's code for one task."""

    task: Task
    code: str


@dataclass(frozen=True)
class Judgement:
    """Everything that was found out about one submission."""

    verdict: Verdict
    test: TestResult
    score: TaskScore


@dataclass(frozen=True)
class Judge:
    """The one instrument: what scores references, mutants, models and given solutions alike."""

    checker: Checker
    tester: ModuleTester
    workers: int
    """Sandboxes at a time; one for each processor core is best."""

    @cached_property
    def _names(self) -> LibraryNames:
        return LibraryNames(self.checker.library, self.checker.profile)

    def code_of(self, answer: str) -> ExtractedCode:
        """Return the module that a model's answer holds; its imports completed if it has none."""
        return complete_imports(extract_code(answer), self._names)

    def verdicts(self, codes: Mapping[str, str]) -> dict[str, Verdict]:
        """Return the checker's verdict on every text, by its name."""
        return self.checker.check_modules(codes)

    def judge(self, submissions: Sequence[Submission]) -> list[Judgement]:
        """Return the judgement on each submission, in their order; no one affects another.

        Equal submissions are judged once. The compiler and the tests work at the same time.

        Raises SandboxRefusedError when this machine refuses to run untrusted code safely.
        """
        named = {str(number): one for number, one in enumerate(dict.fromkeys(submissions))}
        tests = {name: ModuleTest(one.code, one.task.test) for name, one in named.items()}
        with ThreadPoolExecutor(max_workers=1) as pool:
            checked = pool.submit(self.verdicts, {name: one.code for name, one in named.items()})
            runs = self.tester.run_many(tests, workers=self.workers)
            verdicts = checked.result()
        payload_members = self.checker.profile.conventions.payload_members
        found = {
            one: _judgement(one, verdicts[name], runs[name], payload_members)
            for name, one in named.items()
        }
        return [found[one] for one in submissions]


def _judgement(
    submission: Submission, verdict: Verdict, run: TestRun, payload_members: Collection[str]
) -> Judgement:
    test = TestResult(
        status=run.status,
        assertions=run.assertions,
        failures=tuple(text[:_FAILURE_LENGTH] for text in run.failures[:_FAILURES_KEPT]),
        seconds=run.seconds,
    )
    score = score_answer(submission.task, submission.code, verdict, test, payload_members)
    return Judgement(verdict, test, score)
