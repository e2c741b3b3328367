"""The library's own functions as tasks: the body is masked, the library's own tests judge.

Flows in: a prepared `FunctionTester` and its marks. Flows out: `RepositoryTask`s for the functions
whose tests notice a wrong body, and a `RepositoryArm` for a model. These scores stand apart: the
functions are public and may be in a model's training data, and they are in ours.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tree_sitter import Node

from qi_pipeline.evaluation.answers import ExtractedCode, extract_code
from qi_pipeline.evaluation.records import (
    Answer,
    Message,
    RepositoryArm,
    RepositoryResult,
    Request,
)
from qi_pipeline.evaluation.statistics import proportion
from qi_pipeline.extraction.exports import LibraryExports, declared_names
from qi_pipeline.extraction.syntax import text_of
from qi_pipeline.sandbox.mutation import (
    BodyRun,
    FunctionTester,
    LibraryFunction,
    LibraryTests,
    definitions_of,
    function_of,
)

_CHARACTERS_SHOWN = 4000
"""Of a file, around the function; some 1,200 tokens."""
_MASK = "{\n  // write this body\n}"
_HIDDEN = "{ /* … */ }"
_SIGNATURES = frozenset({"function_signature", "interface_declaration", "type_alias_declaration"})


@dataclass(frozen=True)
class RepositoryTask:
    """One function of the library to be written anew."""

    function: LibraryFunction
    prompt: str


def repository_tasks(tester: FunctionTester, marks: LibraryTests) -> tuple[RepositoryTask, ...]:
    """Return a task for every function whose own tests notice a wrong body, sorted by symbol."""
    noticed = {mark.symbol for mark in marks.functions if mark.status == "noticed"}
    return tuple(
        RepositoryTask(function, masked_prompt(tester.library, function))
        for function in tester.functions
        if function.symbol in noticed
    )


def masked_prompt(library: LibraryExports, function: LibraryFunction) -> str:
    """Return the question: the function without its body, and what its file declares around it.

    Imports, types and the signatures of other functions are shown, the nearest first as far as
    space allows, and in the file's order; never another body.
    """
    code = "\n\n".join(_shown(library, function))
    return (
        f"This is part of the TypeScript file `{function.file}`; bodies of functions are left out."
        f"\n\n```typescript\n{code}\n```\n\nWrite the function `{function.name}` completely, with "
        "the signature that it has here. Everything else in the file stays as it is. Answer with "
        "one TypeScript code block that holds this function alone."
    )


def _shown(library: LibraryExports, function: LibraryFunction) -> list[str]:
    """Return the parts of the function's file that are shown, in the file's order."""
    wanted = {node.id for node in definitions_of(library, function)}
    texts: list[str] = []
    own: set[int] = set()
    comment = ""
    for statement in library.modules[function.file].root.named_children:
        if statement.type == "comment":
            comment = f"{text_of(statement)}\n"
            continue
        functions = _functions_in(statement)
        if any(node.id in wanted for node in functions):
            own.add(len(texts))
            texts.append(comment + _masked(statement, functions, _MASK))
        else:
            texts.append(_outline(statement, functions))
        comment = ""
    centre = min(own)
    left = _CHARACTERS_SHOWN - sum(len(texts[place]) for place in own)
    chosen = set(own)
    for place in sorted(range(len(texts)), key=lambda at: abs(at - centre)):
        if place not in own and texts[place] and len(texts[place]) <= left:
            chosen.add(place)
            left -= len(texts[place])
    return [texts[place] for place in sorted(chosen)]


def _functions_in(statement: Node) -> list[Node]:
    """Return the functions with a body that a statement declares at its top."""
    found = (function_of(node) for _, _, node in declared_names(statement))
    return [node for node in found if node is not None]


def _outline(statement: Node, functions: Sequence[Node]) -> str:
    """Return a statement without bodies; empty for one that only its own file has a use for."""
    if functions:
        return _masked(statement, functions, _HIDDEN)
    declaration = statement.child_by_field_name("declaration") or statement
    shown = statement.type == "import_statement" or declaration.type in _SIGNATURES
    return text_of(statement) if shown else ""


def _masked(statement: Node, functions: Sequence[Node], mask: str) -> str:
    """Return the text of a statement with `mask` for every body in it."""
    source, offset = statement.text or b"", statement.start_byte
    for node in reversed(functions):
        body = node.child_by_field_name("body")
        if body is not None:
            start, end = body.start_byte - offset, body.end_byte - offset
            source = source[:start] + mask.encode() + source[end:]
    return source.decode()


# ── Asking and judging ───────────────────────────────────────────────────────────────────────────


def repository_requests(tasks: Sequence[RepositoryTask], system_prompt: str) -> list[Request]:
    """Return one request for each task, under its symbol."""
    system = [Message(role="system", content=system_prompt)] if system_prompt else []
    return [
        Request(
            task_id=task.function.symbol,
            messages=(*system, Message(role="user", content=task.prompt)),
        )
        for task in tasks
    ]


def score_repository(
    name: str,
    tasks: Sequence[RepositoryTask],
    answers: Mapping[str, Answer],
    tester: FunctionTester,
    workers: int,
) -> RepositoryArm:
    """Put every answer in its function's place and run the library's own tests.

    answers: by symbol. workers: sandboxes at a time.

    Raises SandboxRefusedError when this machine refuses to run untrusted code safely.
    """
    found = [extract_code(answers[task.function.symbol].answer) for task in tasks]

    def run(pair: tuple[RepositoryTask, ExtractedCode]) -> BodyRun:
        task, code = pair
        return tester.run_with_body(task.function, code.code)

    with ThreadPoolExecutor(max_workers=workers) as pool:
        runs = list(pool.map(run, zip(tasks, found, strict=True)))
    results = tuple(
        RepositoryResult(
            symbol=task.function.symbol,
            file=task.function.file,
            prompt=task.prompt,
            answer=answers[task.function.symbol],
            code=code.code,
            how=code.how,
            passed=run.status == "passed",
            reason=run.reason,
        )
        for task, code, run in zip(tasks, found, runs, strict=True)
    )
    passed = sum(result.passed for result in results)
    return RepositoryArm(name=name, passed=proportion(passed, len(results)), results=results)
