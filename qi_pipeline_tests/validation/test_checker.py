# ruff: noqa: E501, RUF001 - TypeScript in tables reads best one case a line
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.compiler import Compiler, CompilerFailedError, Request
from qi_pipeline.validation.workspace import LibraryWorkspace
from qi_pipeline_tests.validation.conftest import TOOLCHAIN

GOOD = 'import { success } from "@qi/base";\nexport const fine = success(1);\n'
BAD = 'import { success } from "@qi/base";\nexport const x: string = success(1);\n'


@pytest.fixture
def own_checker(profile: Profile, library: LibraryWorkspace) -> Iterator[Checker]:
    with Checker(library, profile, TOOLCHAIN) as running:
        yield running


def test_verdicts_come_in_the_given_order_and_are_the_same_every_time(checker: Checker) -> None:
    modules = {"z": GOOD, "a": BAD, "m": GOOD, "k": "const ="}
    first = checker.check_modules(modules)
    assert list(first) == ["z", "a", "m", "k"]
    assert [v.compiles for v in first.values()] == [True, False, True, False]
    assert checker.check_modules(modules) == first
    assert checker.check_module(BAD) == first["a"]


def test_a_verdict_names_no_folder_of_this_run(checker: Checker, library: LibraryWorkspace) -> None:
    text = 'import * as b from "@qi/base"; export const x = b.missing; import("@qi/none");'
    messages = " ".join(d.message for d in checker.check_module(text).diagnostics)
    assert 'typeof import("typescript/lib/base/src/index")' in messages
    assert tempfile.gettempdir() not in messages
    assert str(library.root) not in messages


def test_line_and_column_count_from_one_in_utf16_units(checker: Checker) -> None:
    text = "\ufeffexport const a = '𝒳'; const b: number = 'x';\r\nexport const c: number = 'y'; export { b };"
    assert [(d.line, d.column) for d in checker.check_module(text).diagnostics] == [
        (1, 30),
        (2, 14),
    ]


def test_the_strict_options_are_on(checker: Checker) -> None:
    texts = {
        "noUncheckedIndexedAccess": "export const f = (a: number[]): number => a[0];",
        "noImplicitReturns": "export function f(a: boolean) { if (a) { return 1; } }",
        "noFallthroughCasesInSwitch": "export const f = (a: number) => { switch (a) { case 1: a++; case 2: a--; } };",
        "noImplicitAny": "export const f = (a) => a;",
        "noUncheckedSideEffectImports": "import 'not-there';",
        "verbatimModuleSyntax": 'import { Result } from "@qi/base"; export type R = Result<number>;',
    }
    assert [name for name, v in checker.check_modules(texts).items() if v.compiles] == []


def test_a_warning_is_no_reason_to_fail(checker: Checker) -> None:
    text = "export const f = () => { try { return 1; } catch { return 0; } };"
    verdict = checker.check_module(text)
    assert [(rule.id, rule.severity) for rule in verdict.rules] == [("R8", "warning")]
    assert verdict.complies


def test_one_module_alone_and_many_take_turns(checker: Checker) -> None:
    broken = "declare const ) = ;"
    for _ in range(2):
        assert not checker.check_module(broken).compiles
        assert checker.check_module(GOOD).compiles
        assert not checker.check_module(BAD).compiles
        several = checker.check_modules({"good": GOOD, "bad": BAD, "broken": broken})
        assert [verdict.compiles for verdict in several.values()] == [True, False, False]


def test_nothing_is_left_behind(profile: Profile, library: LibraryWorkspace) -> None:
    folder = Path(tempfile.gettempdir())
    before = set(folder.glob("qi-check-*"))
    with Checker(library, profile, TOOLCHAIN) as running:
        running.check_module(GOOD)
        pid = running.compiler_pid
    assert pid is not None
    assert set(folder.glob("qi-check-*")) <= before
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_compiler_is_restarted(own_checker: Checker) -> None:
    before = own_checker.check_modules({"good": GOOD, "bad": BAD})
    pid = own_checker.compiler_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert own_checker.check_modules({"good": GOOD, "bad": BAD}) == before
    assert own_checker.compiler_pid != pid


def test_the_module_that_fells_the_compiler_fails_and_the_others_do_not(
    own_checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Compiler.ask

    def ask_or_die(self: Compiler, requests: Sequence[Request], timeout_s: float) -> list[object]:
        for method, parameters in requests:
            if (
                method == "getSemanticDiagnostics"
                and "poison" in Path(parameters["file"]).read_text()
            ):
                assert self.pid is not None
                os.kill(self.pid, signal.SIGKILL)
        return ask(self, requests, timeout_s)

    monkeypatch.setattr(Compiler, "ask", ask_or_die)
    modules = {f"good {n}": f"export const a = {n};" for n in range(5)}
    verdicts = own_checker.check_modules(
        {**modules, "poison": "export const poison = 1;", "bad": BAD}
    )
    assert all(verdicts[name].compiles for name in modules)
    assert "cannot judge this module" in verdicts["poison"].diagnostics[0].message
    assert [d.code for d in verdicts["bad"].diagnostics] == [2322]


def test_a_compiler_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    with Compiler(TOOLCHAIN, tmp_path) as compiler:
        assert compiler.pid is not None
        os.kill(compiler.pid, signal.SIGSTOP)
        with pytest.raises(CompilerFailedError, match="no answer within"):
            compiler.ask([("initialize", {})], timeout_s=0.2)


def test_what_the_compiler_wrote_is_part_of_the_error(tmp_path: Path) -> None:
    with Compiler(TOOLCHAIN, tmp_path) as compiler:
        with pytest.raises(CompilerFailedError, match="noSuchMethod"):
            compiler.ask([("noSuchMethod", {})], timeout_s=20)
        assert compiler.pid is not None
        os.kill(compiler.pid, signal.SIGQUIT)
        with pytest.raises(CompilerFailedError, match=r"it wrote: (.|\n)+"):
            compiler.ask([("initialize", {})] * 100_000, timeout_s=20)


def test_many_large_answers_do_not_block_the_pipes(checker: Checker) -> None:
    modules = {
        str(n): "\n".join(f"export const a{i}: number = 'text {n} {i}';" for i in range(60))
        for n in range(120)
    }
    verdicts = checker.check_modules(modules)
    assert {len(verdict.diagnostics) for verdict in verdicts.values()} == {60}


def test_each_of_many_modules_gets_its_own_verdict(checker: Checker) -> None:
    broken = {0: "", 1: "const x: any = 1;", 2: 'throw new Error("no");', 3: "const y: string = 1;"}
    modules = {str(n): "\n" * n + f"export {{}};\n{broken[n % 4]}" for n in range(330)}
    verdicts = checker.check_modules(modules)
    assert list(verdicts) == list(modules)
    for number, verdict in enumerate(verdicts.values()):
        found = [*((r.id, r.line) for r in verdict.rules)]
        found += [(str(d.code), d.line) for d in verdict.diagnostics]
        kind = {0: None, 1: "R12", 2: "R7", 3: "2322"}[number % 4]
        assert found == ([] if kind is None else [(kind, number + 2)])


@pytest.mark.parametrize("empty", ["", "\ufeff", " ", "\n", "// nothing"])
def test_an_empty_module_compiles_and_disturbs_no_other(checker: Checker, empty: str) -> None:
    assert checker.check_module(empty).complies
    verdicts = checker.check_modules({"empty": empty, "bad": BAD, "good": GOOD})
    assert [verdict.compiles for verdict in verdicts.values()] == [True, False, True]


def test_a_compiler_that_reads_nothing_more_is_given_up(tmp_path: Path) -> None:
    with Compiler(TOOLCHAIN, tmp_path) as compiler:
        assert compiler.pid is not None
        os.kill(compiler.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, compiler.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(CompilerFailedError, match="no answer within"):
            compiler.ask([("initialize", {})] * 10_000, timeout_s=0.5)


def test_threads_ask_one_compiler_and_a_refusal_reaches_only_who_asked(tmp_path: Path) -> None:
    with Compiler(TOOLCHAIN, tmp_path) as compiler, ThreadPoolExecutor(8) as pool:
        (expected,) = compiler.ask([("initialize", {})], timeout_s=20)
        asked = [
            pool.submit(compiler.ask, [(method, {})] * (n % 7 + 1), 20)
            for n in range(200)
            for method in ["noSuchMethod" if n % 5 == 0 else "initialize"]
        ]
        for number, answer in enumerate(asked):
            if number % 5 == 0:
                with pytest.raises(CompilerFailedError, match="noSuchMethod"):
                    answer.result()
            else:
                assert answer.result() == [expected] * (number % 7 + 1)


def test_everybody_who_waits_hears_of_the_end_of_the_compiler(tmp_path: Path) -> None:
    with Compiler(TOOLCHAIN, tmp_path) as compiler, ThreadPoolExecutor(4) as pool:
        assert compiler.pid is not None
        os.kill(compiler.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, compiler.pid, os.WSTOPPED | os.WNOWAIT)
        asked = [pool.submit(compiler.ask, [("initialize", {})], 60) for _ in range(4)]
        time.sleep(0.2)
        os.kill(compiler.pid, signal.SIGKILL)
        for answer in asked:
            with pytest.raises(CompilerFailedError, match=r"ended before|closed its input"):
                answer.result(timeout=20)


def test_threads_share_one_checker(checker: Checker) -> None:
    found: dict[int, bool] = {}

    def check(number: int) -> None:
        text = GOOD if number % 2 else BAD
        found[number] = checker.check_module(f"{text}// {number}").compiles

    threads = [threading.Thread(target=check, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: bool(number % 2) for number in range(8)}


def test_a_missing_toolchain_names_the_mend(
    profile: Profile, library: LibraryWorkspace, tmp_path: Path
) -> None:
    with pytest.raises(QiPipelineError, match="make setup"):
        Checker(library, profile, tmp_path)


def test_a_library_without_a_result_type_is_refused(
    profile: Profile, library: LibraryWorkspace
) -> None:
    conventions = profile.conventions.model_copy(update={"result_types": ("Outcome",)})
    other = profile.model_copy(update={"conventions": conventions})
    with (
        Checker(library, other, TOOLCHAIN) as running,
        pytest.raises(QiPipelineError, match="none of the types Outcome"),
    ):
        running.check_module(GOOD)


def test_no_modules_need_no_compiler(own_checker: Checker) -> None:
    assert own_checker.check_modules({}) == {}
    assert own_checker.compiler_pid is None
