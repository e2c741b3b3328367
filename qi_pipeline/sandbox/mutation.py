"""Which of the library's functions its own tests watch, and how another body does on those tests.

Flows in: a prepared `Suite`, the library's exports, which tests reach what. Flows out:
`LibraryTests`, a mark for every exported function (DeMillo, Lipton and Sayward, "Hints on Test Data
Selection", 1978: a test that a wrong program passes says nothing of the right one); a `BodyRun` for
a body that somebody else wrote. One wrong body for each function: it returns undefined and does
nothing. How a suite is run belongs to `suite`; what a mark is worth belongs to the caller.

Only tests that pass on the unchanged library judge, and a body passes when every one of them is
said to have passed again. A wrong body is noticed when one of them fails or does not run, when
their file no longer loads, or when the run never ends or dies.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict
from tree_sitter import Node

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.coverage import Coverage, declaration_key
from qi_pipeline.extraction.exports import (
    LibraryExports,
    declared_names,
    read_imports,
    resolve_relative,
)
from qi_pipeline.extraction.pattern import UntypedPattern
from qi_pipeline.extraction.syntax import (
    Module,
    nests_too_deeply,
    parse_module,
    syntax_error_line,
    text_of,
)
from qi_pipeline.sandbox.suite import NO_TEST_RAN, Suite, SuiteRun, TestOutcome, run_suite
from qi_pipeline.validation.verdict import LibraryTestsMark

MUTATION_VERSION = "2"
"""Raised by one whenever the code here gives other marks for equal input."""

BodyStatus = Literal["passed", "failed", "untested", "refused"]

_REASON_SHOWN = 300
_WALL_SECONDS_LEAST = 60.0
_WALL_OF_BASELINE = 10.0
"""How many times as long as all unchanged suites one changed run may take."""
_SLOW_TEST_SECONDS = 5.0
"""A failed test that took as long may have failed of the machine's load; it is tried again."""


# ── What is judged ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class LibraryFunction:
    """An exported function of the library that has a body."""

    symbol: str
    """`package:name`."""
    file: str
    """Repository path of its declaration."""
    name: str
    """Declared name, which the exported one may differ from."""


def library_functions(library: LibraryExports) -> tuple[LibraryFunction, ...]:
    """Return the exported functions, sorted by symbol; one that has several names counts once."""
    found = {}
    for symbols in library.symbols.values():
        for exported in symbols.values():
            declaration = exported.declaration
            symbol = library.symbol_of(declaration) or exported
            if any(function_of(node) is not None for node in library.nodes_of(declaration)):
                found[symbol.qualified] = LibraryFunction(
                    symbol.qualified, declaration.file, declaration.name
                )
    return tuple(found[symbol] for symbol in sorted(found))


def function_of(declaring: Node) -> Node | None:
    """Return the function that a declaring node holds; None for one without a body."""
    node: Node | None = declaring
    if declaring.type == "variable_declarator":
        node = declaring.child_by_field_name("value")
        while node is not None and node.type in _WRAPPERS:
            node = node.named_children[0] if node.named_children else None
    if node is None or node.type not in _FUNCTIONS or node.child_by_field_name("body") is None:
        return None
    return node


_WRAPPERS = frozenset(
    {"parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression"}
)
_FUNCTIONS = frozenset(
    {
        "function_declaration",
        "generator_function_declaration",
        "arrow_function",
        "function_expression",
        "generator_function",
    }
)


def reaching_tests(
    library: LibraryExports, coverage: Coverage, suite: Suite
) -> dict[str, tuple[str, ...]]:
    """Return the symbol of each exported function to the test files that reach it, sorted.

    A file reaches what it calls and what it imports, say for a table of cases, itself or by way of
    a helper beside it, and what that leads to inside the library.
    """
    imported = {
        test: coverage.reached_from(_imported_symbols(library, test)) for test in suite.test_files
    }
    found: dict[str, tuple[str, ...]] = {}
    for function in library_functions(library):
        key = declaration_key(function.file, function.name)
        calling = frozenset(coverage.tests_of([key])[1])
        found[function.symbol] = tuple(
            sorted(test for test, reached in imported.items() if test in calling or key in reached)
        )
    return found


def _imported_symbols(library: LibraryExports, test: str) -> set[str]:
    """Return the library's symbols that a test file imports, relative imports followed."""
    found: set[str] = set()
    seen: set[str] = set()
    pending = [test]
    while pending:
        path = pending.pop()
        seen.add(path)
        for item in library.imports_of(path).values():
            symbols = library.exports_of_specifier(item.specifier, path)
            if item.imported in symbols:
                found.add(symbols[item.imported].qualified)
            if symbols or not item.specifier.startswith("."):
                continue
            target = resolve_relative(path, item.specifier, library.modules)
            if target is not None and target not in seen:
                pending.append(target)
    return found


# ── What comes out ───────────────────────────────────────────────────────────────────────────────


class FunctionTests(BaseModel):
    """What the library's own tests make of a wrong body of one function."""

    model_config = ConfigDict(frozen=True)

    symbol: str
    """`package:name`."""
    file: str
    name: str
    """Declared name in `file`."""
    status: LibraryTestsMark
    """untested: no test reaches it that passes on the unchanged library."""
    test_files: tuple[str, ...]
    """The files that were run, sorted."""
    noticed_by: str | None
    """`file > group > test` of the first test that failed, or what else went wrong."""


class LibraryTests(BaseModel):
    """How well the library's own tests watch its functions."""

    model_config = ConfigDict(frozen=True)

    functions: tuple[FunctionTests, ...]
    """Sorted by symbol."""
    baseline_passed: int
    """Tests that pass on the unchanged library; no others judge."""
    baseline_failed: int
    problem: str | None
    """Why no test could judge anything; None where one could."""
    seconds: float

    def count(self, status: LibraryTestsMark) -> int:
        """Return the number of functions with this status."""
        return sum(function.status == status for function in self.functions)

    def marks(self, patterns: Iterable[UntypedPattern]) -> dict[str, LibraryTestsMark]:
        """Return pattern id to mark, for the patterns that implement one of the functions."""
        found = {(function.file, function.name): function.status for function in self.functions}
        return {
            row.id: found[row.metadata.source_file, row.container]
            for row in patterns
            if (row.metadata.source_file, row.container) in found
        }


@dataclass(frozen=True)
class BodyRun:
    """How a body that somebody else wrote does on the library's own tests."""

    status: BodyStatus
    """untested: no test reaches the function that passes on the unchanged library, or this machine
    is too slow for the tests at present. refused: it was not run, because the text is no
    TypeScript, does not declare the function, or imports the test runner."""
    reason: str | None
    """The first test that failed, or what else is wrong; None when it passed."""
    test_files: tuple[str, ...]


# ── The judge ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Baseline:
    """What the tests say of the unchanged library."""

    passing: Mapping[str, Mapping[str, int]]
    """Test file to the names of its tests that pass, and how many tests have the name; files
    without any are missing."""
    passed: int
    failed: int
    errors: frozenset[str]
    broken_files: frozenset[str]
    """Files in which something fails already."""
    problem: str | None
    seconds: float


@dataclass(frozen=True)
class FunctionTester:
    """Runs the library's own tests over changed functions; made by `prepare_function_tester`."""

    suite: Suite
    library: LibraryExports
    functions: tuple[LibraryFunction, ...]
    test_files: Mapping[str, tuple[str, ...]]
    """Symbol to the files that reach it and hold a test which passes on the unchanged library."""
    baseline: _Baseline

    def judge_all(
        self, *, workers: int | None = None, report: Callable[[str], object] = lambda _line: None
    ) -> LibraryTests:
        """Give every function a wrong body and say whether its tests notice.

        workers: sandboxes at a time; None means one for each processor core.

        Raises SandboxRefusedError when this machine does not grant a layer of the sandbox.
        """
        started = time.monotonic()
        texts = [with_wrong_body(self.library, function) for function in self.functions]
        found: list[FunctionTests] = []
        with ThreadPoolExecutor(max_workers=workers or usable_cores()) as pool:
            for judged in pool.map(self._judge, self.functions, texts):
                found.append(judged)
                report(f"{len(found)}/{len(self.functions)} {judged.symbol}: {judged.status}")
        return LibraryTests(
            functions=tuple(found),
            baseline_passed=self.baseline.passed,
            baseline_failed=self.baseline.failed,
            problem=self.baseline.problem,
            seconds=self.baseline.seconds + time.monotonic() - started,
        )

    def _judge(self, function: LibraryFunction, text: str) -> FunctionTests:
        files = self.test_files.get(function.symbol, ())
        failure, judged = self._failure(function.file, text, files) if files else (None, True)
        noticed_by = failure if judged else None
        status: LibraryTestsMark = "untested"
        if files:
            status = "unnoticed" if noticed_by is None else "noticed"
        return FunctionTests(
            symbol=function.symbol,
            file=function.file,
            name=function.name,
            status=status,
            test_files=files,
            noticed_by=noticed_by,
        )

    def function(self, symbol: str) -> LibraryFunction:
        """Return the function that is exported as `package:name`."""
        for function in self.functions:
            if function.symbol == symbol:
                return function
        raise QiPipelineError(
            f"the library exports no function {symbol!r}; known are "
            f"{', '.join(function.symbol for function in self.functions[:5])} and so on"
        )

    def run_with_body(self, function: LibraryFunction, text: str) -> BodyRun:
        """Run the tests that reach `function` with the one that `text` declares in its place.

        text: a declaration of the function, which sees what stands around it in the library's file;
        or a complete module that declares it, beside whatever else it needs.

        This measures code that may be wrong, not code that lies: the body runs in one process with
        the tests and the runner's part in it, and code that is out to forge what becomes of its
        tests can do so.

        Raises SandboxRefusedError when this machine does not grant a layer of the sandbox.
        """
        files = self.test_files.get(function.symbol, ())
        try:
            changed = with_body(self.library, function, text)
        except UnfitBodyError as unfit:
            return BodyRun("refused", str(unfit), files)
        if not files:
            return BodyRun("untested", "no test reaches the function", files)
        failure, judged = self._failure(function.file, changed, files)
        if not judged:
            reason = f"the tests do not pass on the unchanged library at present: {failure}"
            return BodyRun("untested", reason, files)
        return BodyRun("passed" if failure is None else "failed", failure, files)

    def _failure(self, path: str, text: str, files: Sequence[str]) -> tuple[str | None, bool]:
        """Return what fails when the file at `path` has another text, None when nothing does.

        Beside it, whether that says anything: not when a busy machine fails the unchanged library.
        """
        run = self._run(files, {path: text})
        failure = self._first_failure(run, files)
        if failure is None or not _may_be_the_load(run):
            return failure, True
        return failure, self._first_failure(self._run(files, {}), files) is None

    def _run(self, files: Sequence[str], overrides: Mapping[str, str]) -> SuiteRun:
        # A test that fails anyway must not end the run before the one that tells.
        stop = self.baseline.broken_files.isdisjoint(files)
        return run_suite(self.suite, overrides=overrides, files=files, stop_at_first_failure=stop)

    def _first_failure(self, run: SuiteRun, files: Sequence[str]) -> str | None:
        passing = {file: self.baseline.passing[file] for file in files}
        for test in run.tests:
            if test.status == "failed" and test.name in passing.get(test.file, ()):
                return f"{test.file} > {test.name}"
        for error in run.errors:
            if error not in self.baseline.errors and error != NO_TEST_RAN:
                return error[:_REASON_SHOWN]
        # The run went to its end, so every test has had its turn.
        passed = Counter((test.file, test.name) for test in run.tests if test.status == "passed")
        for file, names in passing.items():
            for name, count in names.items():
                if passed[file, name] < count:
                    return f"{file} > {name}: did not run to its end"
        return None


def _may_be_the_load(run: SuiteRun) -> bool:
    """Tell whether a busy machine could have made the run fail."""
    slow = any(t.status == "failed" and t.seconds >= _SLOW_TEST_SECONDS for t in run.tests)
    return slow or not has_verdict(run)


def has_verdict(run: SuiteRun) -> bool:
    """Tell whether the runner lived to say what became of the tests."""
    return run.status in ("passed", "failed")


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def prepare_function_tester(
    suite: Suite,
    library: LibraryExports,
    reaching: Mapping[str, Sequence[str]],
    *,
    workers: int | None = None,
) -> FunctionTester:
    """Return what judges the functions of `library`, after one run of its unchanged suites.

    suite, library: of the same snapshot.
    reaching: symbol to the test files that reach it, as `reaching_tests` says.

    Raises SandboxRefusedError when this machine does not grant a layer of the sandbox.
    """
    baseline = _measure_baseline(suite, workers or usable_cores())
    wall = max(_WALL_SECONDS_LEAST, _WALL_OF_BASELINE * baseline.seconds)
    limits = replace(suite.limits, wall_seconds=min(suite.limits.wall_seconds, wall))
    known = frozenset(suite.test_files)
    return FunctionTester(
        suite=replace(suite, limits=limits),
        library=library,
        functions=tuple(f for f in library_functions(library) if (suite.root / f.file).is_file()),
        test_files={
            symbol: tuple(
                sorted(file for file in known.intersection(files) if file in baseline.passing)
            )
            for symbol, files in reaching.items()
        },
        baseline=baseline,
    )


def _measure_baseline(suite: Suite, workers: int) -> _Baseline:
    runs = [run_suite(suite, workers=workers)]
    if not has_verdict(runs[0]):
        # One file that hangs or kills the runner must not silence the others.
        with ThreadPoolExecutor(max_workers=workers) as pool:
            alone = pool.map(lambda file: run_suite(suite, files=[file]), suite.test_files)
            runs.extend(alone)
    tests = [test for run in runs for test in run.tests]
    failed = [test for test in tests if test.status == "failed"]
    errors = [error for run in runs for error in run.errors]
    passing = _passing(tests)
    shown = [f"{test.name}: {test.message}" for test in failed] + errors
    problem = None
    if not passing:
        reason = shown[0] if shown else NO_TEST_RAN
        problem = (
            f"no test of the unchanged library passes ({reason[:_REASON_SHOWN]}); "
            "its tests judge nothing"
        )
    return _Baseline(
        passing=passing,
        passed=sum(test.status == "passed" for test in tests),
        failed=len(failed),
        errors=frozenset(errors),
        broken_files=frozenset(test.file for test in failed),
        problem=problem,
        seconds=sum(run.seconds for run in runs),
    )


def _passing(tests: Iterable[TestOutcome]) -> dict[str, dict[str, int]]:
    """Return file to the names of its passing tests; a name that also fails is not among them."""
    outcomes: dict[str, dict[str, Counter[str]]] = {}
    for test in tests:
        names = outcomes.setdefault(test.file, {})
        names.setdefault(test.name, Counter())[test.status] += 1
    passing = {
        file: {
            name: counts["passed"]
            for name, counts in names.items()
            if counts["passed"] and not counts["failed"]
        }
        for file, names in outcomes.items()
    }
    return {file: names for file, names in passing.items() if names}


# ── Changed texts ────────────────────────────────────────────────────────────────────────────────


class UnfitBodyError(Exception):
    """A text that cannot stand in for a function; the message is the reason."""


def with_wrong_body(library: LibraryExports, function: LibraryFunction) -> str:
    """Return the function's file with a body that returns undefined and does nothing."""
    module = library.modules[function.file]
    edits = []
    for node in definitions_of(library, function):
        body = node.child_by_field_name("body") or node
        block = body.type == "statement_block"
        wrong = "{ return undefined as never; }" if block else "undefined as never"
        edits.append((body.start_byte, body.end_byte, wrong))
    return _edited(module, edits)


def definitions_of(library: LibraryExports, function: LibraryFunction) -> list[Node]:
    """Return the function's nodes that have a body: no overload, no type of the same name."""
    declaration = library.declared_in(function.file)[function.name]
    found = map(function_of, library.nodes_of(declaration))
    return [node for node in found if node is not None]


_FACTORY = "qiMakeReplacement"
_MADE = "qiReplacement"


def with_body(library: LibraryExports, function: LibraryFunction, text: str) -> str:
    """Return the function's file with the function that `text` declares in its place.

    What `text` declares lives in a scope of its own inside the file, made at the function's first
    call: it sees the file's names, hides those that it declares or imports itself, and imports that
    lead back to the file are complete by then.

    Raises UnfitBodyError when `text` is no TypeScript, does not declare the function, or imports
    the test runner.
    """
    replacement = parse_module(text)
    if nests_too_deeply(replacement):
        raise UnfitBodyError("nested too deeply for a program")
    line = syntax_error_line(replacement)
    if line is not None:
        raise UnfitBodyError(f"TypeScript syntax error in line {line}")
    if function.name not in _declared(replacement):
        raise UnfitBodyError(f"declares no {function.name}")
    runner = next(filter(_RUNNER.fullmatch, _specifiers(replacement.root)), None)
    if runner is not None:
        raise UnfitBodyError(f"imports the test runner ({runner})")
    module = library.modules[function.file]
    call = f"return ({_MADE} ??= {_FACTORY}()).apply(this, values);"
    edits = []
    for node in definitions_of(library, function):
        name = f" {function.name}" if node.type.endswith("declaration") else ""
        code = f"function{name}(this: unknown, ...values: never[]): never {{ {call} }}"
        edits.append((node.start_byte, node.end_byte, code))
    return _edited(module, edits) + _factory(replacement, function.name)


_RUNNER = re.compile(r"(vitest|@vitest/[^/]+)(/.*)?")


def _specifiers(root: Node) -> Iterator[str]:
    """Yield what a module imports and re-exports, and what it imports by a plain string later."""
    pending = [root]
    while pending:
        node = pending.pop()
        source = node.child_by_field_name("source")
        function = node.child_by_field_name("function")
        arguments = node.child_by_field_name("arguments")
        if function is not None and function.type == "import" and arguments is not None:
            source = next(iter(arguments.named_children), None)
        if source is not None and source.type in ("string", "template_string"):
            yield text_of(source)[1:-1]
        pending.extend(node.named_children)


def _declared(module: Module) -> set[str]:
    return {
        name
        for statement in module.root.named_children
        for name, kind, _ in declared_names(statement)
        if kind != "type"
    }


def _factory(replacement: Module, name: str) -> str:
    """Return the code that makes the replacement: its imports, and a function of its statements."""
    imports: list[str] = []
    inside: list[str] = []
    namespaces: dict[str, str] = {}
    for item in read_imports(replacement):
        if item.type_only:
            continue
        if item.specifier not in namespaces:
            namespaces[item.specifier] = f"qiImported{len(namespaces)}"
            source = json.dumps(item.specifier)
            imports.append(f"import * as {namespaces[item.specifier]} from {source};")
        held = namespaces[item.specifier]
        value = held if item.imported == "*" else f"{held}[{json.dumps(item.imported)}]"
        inside.append(f"const {item.local} = {value};")
    for statement in replacement.root.named_children:
        kept = statement
        if statement.type == "import_statement":
            continue
        if statement.type == "export_statement":
            declaration = statement.child_by_field_name("declaration")
            if declaration is None:
                continue
            kept = declaration
        inside.append(text_of(kept))
    body = "\n".join(inside)
    made = f"var {_MADE}: any;\nfunction {_FACTORY}(): any {{\n{body}\nreturn {name};\n}}\n"
    return "\n" + "\n".join([*imports, made])


def _edited(module: Module, edits: Iterable[tuple[int, int, str]]) -> str:
    """Return the module's text with stretches of its bytes replaced."""
    parts: list[bytes] = []
    done = 0
    for start, end, text in sorted(edits):
        parts += [module.source[done:start], text.encode()]
        done = end
    return b"".join([*parts, module.source[done:]]).decode()
