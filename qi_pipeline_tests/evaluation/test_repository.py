"""The library's own functions as tasks, on the sample library's own tests."""

from pathlib import Path

import pytest

from qi_pipeline.evaluation.records import Answer
from qi_pipeline.evaluation.repository import (
    RepositoryTask,
    masked_prompt,
    repository_requests,
    repository_tasks,
    score_repository,
)
from qi_pipeline.extraction.extract import extract_patterns, read_library
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.sandbox.mutation import (
    FunctionTester,
    FunctionTests,
    LibraryTests,
    prepare_function_tester,
    reaching_tests,
)
from qi_pipeline.sandbox.suite import prepare_suite
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.workspace import prepare_library
from qi_pipeline_tests.evaluation.conftest import TOOLCHAIN

SYMBOL = "@qi/base:unwrapOr"


@pytest.fixture(scope="module")
def tester(tmp_path_factory: pytest.TempPathFactory) -> FunctionTester:
    folder: Path = tmp_path_factory.mktemp("repository")
    build_sample_repository(folder / "repository")
    profile = load_profile()
    snapshot = take_snapshot(
        str(folder / "repository"), "HEAD", profile, folder / "snapshots", folder / "mirrors"
    )
    workspace = prepare_library(snapshot, profile, folder / "cache")
    suite = prepare_suite(snapshot, workspace, profile, TOOLCHAIN, folder / "cache")
    library = read_library(snapshot, profile)
    reaching = reaching_tests(library, extract_patterns(snapshot, profile).coverage, suite)
    return prepare_function_tester(suite, library, reaching)


def marks_of(tester: FunctionTester, noticed: set[str]) -> LibraryTests:
    return LibraryTests(
        functions=tuple(
            FunctionTests(
                symbol=function.symbol,
                file=function.file,
                name=function.name,
                status="noticed" if function.symbol in noticed else "unnoticed",
                test_files=(),
                noticed_by=None,
            )
            for function in tester.functions
        ),
        baseline_passed=1,
        baseline_failed=0,
        problem=None,
        seconds=0.0,
    )


def task_of(tester: FunctionTester) -> RepositoryTask:
    (task,) = repository_tasks(tester, marks_of(tester, {SYMBOL}))
    return task


def answered(tester: FunctionTester, text: str) -> tuple[bool, str | None]:
    task = task_of(tester)
    answer = Answer(
        task_id=SYMBOL,
        sample=0,
        answer=text,
        tokens=1,
        prompt_tokens=1,
        seconds=1.0,
        latency_seconds=1.0,
        first_token_seconds=0.1,
        finish_reason="stop",
        slots=1,
    )
    (result,) = score_repository("arm", [task], {SYMBOL: answer}, tester, workers=1).results
    return result.passed, result.reason


def test_only_functions_whose_tests_notice_become_tasks(tester: FunctionTester) -> None:
    assert repository_tasks(tester, marks_of(tester, set())) == ()
    assert task_of(tester).function.symbol == SYMBOL


def test_no_body_is_shown_and_the_signature_is(tester: FunctionTester) -> None:
    function = tester.function(SYMBOL)
    prompt = masked_prompt(tester.library, function)
    assert "unwrapOr = <" in prompt or "function unwrapOr<" in prompt
    assert "// write this body" in prompt
    assert prompt.count("// write this body") == 1
    source = tester.library.modules[function.file].source.decode()
    statements = [line.strip() for line in source.splitlines() if line.strip().startswith("return")]
    assert statements
    assert not [line for line in statements if line in prompt]


def test_every_prompt_stays_within_its_bounds(tester: FunctionTester) -> None:
    symbols = {function.symbol for function in tester.functions}
    tasks = repository_tasks(tester, marks_of(tester, symbols))
    assert len(tasks) == len(tester.functions)
    assert max(len(task.prompt) for task in tasks) < 6000
    for task in tasks:
        assert f"`{task.function.name}`" in task.prompt
        assert "// write this body" in task.prompt


def test_requests_carry_the_symbol_and_the_system_prompt(tester: FunctionTester) -> None:
    (request,) = repository_requests([task_of(tester)], "Write TypeScript.")
    assert request.task_id == SYMBOL
    assert [message.role for message in request.messages] == ["system", "user"]


def test_a_right_body_passes_and_a_wrong_one_does_not(tester: FunctionTester) -> None:
    head = "export const unwrapOr = <T, E>(defaultValue: T, result: Result<T, E>): T =>"
    right = f"{head}\n  match((value) => value, () => defaultValue, result);"
    wrong = f"{head} defaultValue;"
    assert answered(tester, f"Sure:\n```ts\n{right}\n```") == (True, None)
    passed, reason = answered(tester, f"```ts\n{wrong}\n```")
    assert not passed
    assert reason


@pytest.mark.parametrize("text", ["", "I cannot.", "```ts\nexport const other = 1;\n```"])
def test_an_answer_without_the_function_does_not_pass(tester: FunctionTester, text: str) -> None:
    passed, reason = answered(tester, text)
    assert not passed
    assert reason
