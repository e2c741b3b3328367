"""Modules that pass, fail, and try to be taken for passing."""

import dataclasses
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.tasks import Task, bundled_suite, load_tasks
from qi_pipeline.sandbox import modules
from qi_pipeline.sandbox.bundle import Toolchain, bundle_library, transpile
from qi_pipeline.sandbox.modules import ModuleTest, ModuleTester, prepare_tester, run_module_tests
from qi_pipeline.sandbox.sandbox import Sandbox
from qi_pipeline.sandbox.verdict import split_verdict
from qi_pipeline_tests.sandbox.conftest import TOOLCHAIN, Sample

TESTS = """
import { strict as assert } from "node:assert";
import { value } from "./solution";
assert.equal(await value(), "what is right");
assert.deepEqual([await value()], ["what is right"]);
"""
RIGHT = 'export const value = (): string => "what is right";\n'
WRONG = 'export const value = (): unknown => "what is wrong";\n'


def test_a_right_module_passes_and_its_assertions_are_counted(tester: ModuleTester) -> None:
    run = run_module_tests(RIGHT, TESTS, tester)
    assert (run.status, run.assertions, run.failures, run.output) == ("passed", 2, (), "")


def test_a_wrong_module_fails_with_the_first_message(tester: ModuleTester) -> None:
    run = run_module_tests(WRONG, TESTS, tester)
    assert (run.status, run.assertions) == ("failed", 1)
    assert len(run.failures) == 1
    assert "what is wrong" in run.failures[0]


def test_the_library_its_packages_and_types_can_be_imported(tester: ModuleTester) -> None:
    module = """
      import { map, success, type Result } from "@qi/base";
      import { createMemoryCache, ICache } from "@qi/core";
      import { z } from "zod";
      export const cache = (): ICache => createMemoryCache({});
      export const parsed: Result<number> = map((n) => n + 1, success(z.number().parse(1)));"""
    tests = """
      import assert from "node:assert/strict";
      import * as asserts from "node:assert";
      import { success } from "@qi/base";
      import { cache, parsed } from "./solution.js";
      assert.deepEqual(parsed, success(2));
      asserts.strict.equal(typeof cache().get, "function");
      asserts.ok(true);
      await assert.rejects(async () => { throw new Error("expected"); }, /expected/);"""
    run = run_module_tests(module, tests, tester)
    assert (run.status, run.assertions, run.failures) == ("passed", 4, ())


WITHOUT_A_PASS = {
    "leaves before the assertions": ("process.exit(0);" + WRONG, "no_verdict"),
    "leaves when called": ("export const value = () => process.exit(0);", "no_verdict"),
    "leaves a little later": (
        "setTimeout(() => process.exit(0), 0); export const value = () => new Promise(() => {});",
        "no_verdict",
    ),
    "claims its exit status": ('process.on("exit", () => process.exit(0));' + WRONG, "failed"),
    "never settles": ("await new Promise(() => {});" + WRONG, "no_verdict"),
    "aborts": ("process.abort();" + WRONG, "crashed"),
    "dies of a rejection": (
        """Promise.reject(new Error("lost"));
        export const value = () => new Promise((resolve) => setTimeout(resolve, 1000));""",
        "crashed",
    ),
    "overwrites assert": (
        'import assert from "node:assert";'
        "const all: any = assert; for (const a of [all, all.strict])"
        " for (const name of Object.keys(a)) try { a[name] = () => {}; } catch {}" + WRONG,
        "failed",
    ),
    "overwrites assert's error": (
        'import assert from "node:assert"; assert.AssertionError.prototype.toString = () => "";'
        "Object.defineProperty(assert.AssertionError, Symbol.hasInstance, { value: () => false });"
        + WRONG,
        "failed",
    ),
    "pollutes Object": ("(Object.prototype as any).equal = () => {};" + WRONG, "failed"),
    "pollutes Array": ("Array.prototype[Symbol.iterator] = function* () {};" + WRONG, "failed"),
    "pollutes Promise": ("Promise.prototype.then = (() => {}) as any;" + WRONG, "failed"),
    "pollutes Function": ("Function.prototype.call = () => true;" + WRONG, "failed"),
    "pollutes __proto__": ("({} as any).__proto__.polluted = 1;" + WRONG, "failed"),
    "replaces Object.is": ("Object.is = () => true;" + WRONG, "failed"),
    "replaces Reflect.apply": ("Reflect.apply = () => undefined;" + WRONG, "failed"),
    "replaces JSON.stringify": ('JSON.stringify = () => "{}";' + WRONG, "failed"),
    "replaces globals": (
        "for (const name of Object.getOwnPropertyNames(globalThis))"
        " try { (globalThis as any)[name] = () => {}; } catch {}" + WRONG,
        "failed",
    ),
    "replaces expect": ("(globalThis as any).expect = () => new Proxy({}, {});" + WRONG, "failed"),
    "replaces the output": (
        "process.stdout.write = (() => true) as any; console.log = () => {};"
        'import fs from "node:fs"; fs.writeSync = () => 0;' + WRONG,
        "failed",
    ),
    "rewrites the verdict in Buffer.from": (
        "const from: any = Buffer.from; Buffer.from = ((text: any, ...rest: any[]) =>"
        " typeof text === 'string'"
        """ ? from.call(Buffer, text.replace(/"failures":\\[.*\\]/s, '"failures":[]'), ...rest)"""
        " : from.call(Buffer, text, ...rest)) as any;" + WRONG,
        "failed",
    ),
    "rewrites the verdict in utf8Write": (
        "const all: any = Buffer.prototype; const write = all.utf8Write;"
        " all.utf8Write = function (text: string, ...rest: any[]) { return write.call(this,"
        """ text.replace(/"failures":\\[.*\\]/s, '"failures":[]'), ...rest); };""" + WRONG,
        "failed",
    ),
    "writes what a verdict looks like": (
        'console.log(`\\n${"0".repeat(64)} {"failures":[],"assertions":9}`); process.exit(0);'
        + WRONG,
        "no_verdict",
    ),
    "is anything to everyone": (
        """const get = (_: unknown, name: unknown) => (name === 'then' ? undefined : any);
        const any: any = new Proxy(function () {}, { get, apply: () => any });
        export const value = () => any;""",
        "failed",
    ),
    "swallows a failed assertion": (
        "export const value = (check?: () => void) => { try { check?.(); } catch {} };", "failed",
    ),
    "uses up the processor": ("export const value = () => { for (;;); };", "timed_out"),
    "searches for ever": (
        'export const value = () => /^(a+)+$/.test("a".repeat(64) + "!");', "timed_out",
    ),
    "uses up the memory": (
        "const kept: object[] = []; for (;;) kept.push({ kept });" + WRONG, "crashed",
    ),
    "floods the output": (
        'import fs from "node:fs"; for (;;) fs.writeSync(1, "x".repeat(10000));' + WRONG,
        "crashed",
    ),
    "throws when loaded": ('throw new Error("unusable");' + WRONG, "failed"),
    "exports nothing": ("", "failed"),
    "is no TypeScript": ("export const value = = ;", "refused"),
}  # fmt: skip


def test_no_trick_passes(tester: ModuleTester) -> None:
    swallowing = """
      import { strict as assert } from "node:assert";
      import { value } from "./solution";
      value(() => assert.equal(1, 2));
      assert.equal(1, 1);"""
    brief = dataclasses.replace(
        tester, limits=dataclasses.replace(tester.limits, cpu_seconds=2, wall_seconds=60.0)
    )
    tests = {
        name: ModuleTest(module, swallowing if name.startswith("swallows") else TESTS)
        for name, (module, _) in WITHOUT_A_PASS.items()
    }
    runs = brief.run_many(tests)
    found = {name: run.status for name, run in runs.items()}
    # A processor that is too slow for the memory to run out ends the run by its other limit.
    if found["uses up the memory"] == "timed_out":
        found["uses up the memory"] = "crashed"
    assert found == {name: status for name, (_, status) in WITHOUT_A_PASS.items()}
    assert all(runs[name].failures for name in runs)


EMPTIED = {
    "forEach": (
        "Array.prototype.forEach = () => {};",
        '["what is right"].forEach((expected) => assert.equal(value(), expected));',
    ),
    "entries": (
        "Object.entries = () => [];",
        "for (const [, text] of Object.entries({ a: 1 })) assert.equal(value(), text);",
    ),
    "promises": (
        "Promise.all = (async () => []) as any;",
        "await Promise.all([1].map(async () => assert.equal(value(), 'what is right')));",
    ),
    "sets": (
        "Set.prototype.forEach = () => {};",
        'new Set(["what is right"]).forEach((text) => assert.equal(value(), text));',
    ),
}


def test_the_cases_of_the_tests_cannot_be_emptied(tester: ModuleTester) -> None:
    head = """
      import { strict as assert } from "node:assert";
      import { value } from "./solution";
      assert.ok(true);
    """
    runs = tester.run_many(
        {
            name: ModuleTest(f"try {{ {attack} }} catch {{}}" + WRONG, head + cases)
            for name, (attack, cases) in EMPTIED.items()
        }
    )
    assert {name: run.status for name, run in runs.items()} == dict.fromkeys(EMPTIED, "failed")


SHARED = {
    "Buffer.from": ("Buffer.from", 'Buffer.from("x").length === 1'),
    "Buffer.prototype": ("Buffer.prototype.equals", 'Buffer.from("x").equals(Buffer.from("x"))'),
    "StringDecoder": (
        "(await import('node:string_decoder')).StringDecoder.prototype.write",
        'new StringDecoder("utf8").write(Buffer.from("x")) === "x"',
    ),
    "EventEmitter": (
        "(await import('node:events')).EventEmitter.prototype.listenerCount",
        "new EventEmitter().listenerCount('x') === 0",
    ),
    "util": ("(await import('node:util')).default.inspect", "util.inspect(1) === '1'"),
    "path.posix": ("(await import('node:path')).default.posix.join", "posix.join('a') === 'a'"),
    "process": ("process.cwd", "process.cwd() === '/tmp'"),
    "URL": ("URL.prototype.toString", 'new URL("http://x/").toString() === "http://x/"'),
    "Headers": ("Headers.prototype.get", 'new Headers({ a: "b" }).get("a") === "b"'),
    "the library's class": (
        "Object.getPrototypeOf(createMemoryCache({})).get",
        "typeof (await createMemoryCache({}).get('x')) === 'object'",
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_tests_and_module_share_cannot_be_replaced(name: str, tester: ModuleTester) -> None:
    place, check = SHARED[name]
    owner, _, member = place.rpartition(".")
    head = """
      import { createMemoryCache } from "@qi/core";
      import { strict as assert } from "node:assert";
      import { EventEmitter } from "node:events";
      import { posix } from "node:path";
      import { StringDecoder } from "node:string_decoder";
      import util from "node:util";
    """
    tests = head + f'import "./solution";\nassert.ok({check});'
    attack = f"""
      const owner: any = {owner};
      const evil = () => true;
      try {{ owner.{member} = evil; console.log("assigned"); }} catch {{}}
      try {{ Object.defineProperty(owner, "{member}", {{ value: evil }}); }} catch {{}}
      console.log(owner.{member} === evil ? "replaced" : "kept");"""
    run = run_module_tests('import { createMemoryCache } from "@qi/core";' + attack, tests, tester)
    assert (run.status, run.failures, run.output) == ("passed", (), "kept\n")


def test_a_class_that_the_module_cannot_name_is_locked_at_its_end_too(
    tester: ModuleTester,
) -> None:
    module = """
      import type { ICache } from "@qi/core";
      export const use = (cache: ICache) => {
        const shared: any = Object.getPrototypeOf(cache);
        try { shared.get = () => "evil"; } catch {}
        try { shared.added = () => "evil"; } catch {}
        (cache as any).own = 1;
        return [shared.get("x") === "evil", "added" in cache];
      };"""
    tests = """
      import { strict as assert } from "node:assert";
      import { createMemoryCache } from "@qi/core";
      import { use } from "./solution";
      const cache: any = createMemoryCache({});
      assert.deepEqual(use(cache), [false, false]);
      cache.get = () => "the tests' own";
      assert.equal(cache.get(), "the tests' own");"""
    run = run_module_tests(module, tests, tester)
    assert (run.status, run.failures) == ("passed", ())


def test_no_object_that_the_module_reaches_sees_the_nonce(tester: ModuleTester) -> None:
    module = """
      const seen = (name: string) => {
        const original = (Buffer.prototype as any)[name];
        const spy = function (this: any, ...rest: any[]) {
          process.stderr.write("saw " + String(this) + rest.join());
          return original.apply(this, rest);
        };
        try { Object.defineProperty(Buffer.prototype, name, { value: spy }); } catch {}
      };
      ["subarray", "slice", "utf8Write", "write", "toString"].forEach(seen);
      try { Buffer.alloc = Buffer.from = Buffer.concat = (() => process.exit(1)) as any; } catch {}
      export const value = (): string => "what is right";"""
    run = run_module_tests(module, TESTS, tester)
    assert (run.status, run.output) == ("passed", "")


def test_what_node_offers_still_works_in_a_module(tester: ModuleTester) -> None:
    module = """
      import { createHash } from "node:crypto";
      import EventEmitter, { once } from "node:events";
      import { Readable } from "node:stream";
      import { gzipSync, gunzipSync } from "node:zlib";
      class Own extends EventEmitter { emit(...all: any[]): boolean { return super.emit(...all); } }
      const own: any = new Own();
      own.on = own.on.bind(own);
      const heard = once(own, "said");
      own.emit("said", 1);
      const chunks: unknown[] = [];
      for await (const chunk of Readable.from([1, 2])) chunks.push(chunk);
      export const results = [
        ...(await heard), ...chunks, createHash("sha256").update("x").digest("hex").length,
        gunzipSync(gzipSync("x")).toString(), new AbortController().signal.aborted,
        new Headers({ a: "b" }).get("a"), await new Blob(["x"]).text(), structuredClone(1),
      ];"""
    tests = """
      import { strict as assert } from "node:assert";
      import { results } from "./solution";
      assert.deepEqual(results, [1, 1, 2, 64, "x", false, "b", "x", 1]);"""
    run = run_module_tests(module, tests, tester)
    assert (run.status, run.failures) == ("passed", ())


def test_a_failure_that_cannot_be_recorded_is_missed(tester: ModuleTester) -> None:
    """The callback is called once, so many frames away from the end of the stack."""
    module = """
      export const value = (check: () => void): void => {
        let frames = 0;
        const deep = (): void => {
          try { deep(); } catch {}
          if (frames++ === FRAMES) try { check(); } catch {}
        };
        deep();
      };"""
    tests = """
      import { strict as assert } from "node:assert";
      import { value } from "./solution";
      let found = 1;
      const check = () => assert.equal(found, 1);
      check();
      found = 2;
      value(check);"""
    runs = tester.run_many(
        {
            str(frames): ModuleTest(module.replace("FRAMES", str(frames)), tests)
            for frames in range(20, 1000, 80)
        }
    )
    begun = [run for run in runs.values() if run.assertions == 2]
    assert {run.status for run in begun} == {"failed"}
    assert any("neither succeeded nor failed" in run.failures[0] for run in begun)


def test_an_assertion_that_nobody_waits_for_is_no_pass(tester: ModuleTester) -> None:
    tests = """
      import { strict as assert } from "node:assert";
      import "./solution";
      assert.rejects(async () => { await new Promise((done) => setTimeout(done, 50)); });"""
    run = run_module_tests(RIGHT, tests, tester)
    assert (run.status, run.assertions) == ("failed", 1)
    assert "neither succeeded nor failed" in run.failures[0]


def test_many_long_failures_lose_no_other_result(tester: ModuleTester) -> None:
    tests = """
      import { strict as assert } from "node:assert";
      import { value } from "./solution";
      value((text: string) => assert.ok(false, text));"""
    module = """
      export const value = (check: any) => {
        for (let n = 0; n < 300; n += 1) try { check("\u00e9".repeat(3000)); } catch {}
      };"""
    short = module.replace('"\u00e9".repeat(3000)', "`no ${n}`")
    runs = tester.run_many(
        {
            "long": ModuleTest(module, tests),
            "short": ModuleTest(short, tests),
            "right": ModuleTest(RIGHT, TESTS),
        }
    )
    assert {name: run.status for name, run in runs.items()} == {
        "long": "failed", "short": "failed", "right": "passed",
    }  # fmt: skip
    assert sum(map(len, runs["long"].failures)) <= 8000
    assert runs["short"].failures == tuple(f"AssertionError: no {n}" for n in range(20))


def test_tests_import_defaults_and_the_module_when_they_want(tester: ModuleTester) -> None:
    tests = """
      import { strict as assert } from "node:assert";
      import EventEmitter from "node:events";
      import path from "node:path";
      const { value } = await import("./solution");
      assert.equal(new EventEmitter().listenerCount("x"), 0);
      assert.equal(path.join("a", "b"), "a/b");
      assert.equal(value(), "what is right");"""
    run = run_module_tests(RIGHT, tests, tester)
    assert (run.status, run.assertions, run.failures) == ("passed", 3, ())


def test_tests_that_need_a_runner_are_refused(tester: ModuleTester) -> None:
    tests = 'import { expect } from "vitest"; import { value } from "./solution"; expect(value());'
    run = run_module_tests(RIGHT, tests, tester)
    assert (run.status, run.failures) == (
        "refused", ('the tests import "vitest", which is not there',),
    )  # fmt: skip
    assert run_module_tests('import "vitest";' + RIGHT, TESTS, tester).status == "failed"


NONCE = "0" * 8


@pytest.mark.parametrize(
    ("stdout", "record", "output"),
    [
        (f'a\n{NONCE} {{"x": 1}}\nb', {"x": 1}, "ab"),
        (f'a\n{NONCE} {{"x": 1}}', None, "a"),
        (f'a\n{NONCE} {{"x"\nb', None, "ab"),
        (f"a\n{NONCE} [1]\n", None, "a"),
        ("a", None, "a"),
    ],
)
def test_only_a_whole_record_is_a_verdict(
    stdout: str, record: dict[str, int] | None, output: str
) -> None:
    assert split_verdict(stdout, NONCE) == (record, output)


def test_a_node_that_rejects_a_flag_is_not_taken_for_bad_modules(
    sample: Sample, tester: ModuleTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules, "_NODE_FLAGS", ("--no-such-flag",))
    with pytest.raises(QiPipelineError, match="should have passed is crashed"):
        prepare_tester(sample.workspace, TOOLCHAIN, sample.cache)
    assert tester.library.is_file()


def test_a_tester_that_passes_everything_is_refused(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules, "_PROBE_TESTS", TESTS.replace("value()", '"what is right"'))
    with pytest.raises(QiPipelineError, match="does not work on this machine"):
        prepare_tester(sample.workspace, TOOLCHAIN, sample.cache)


def test_a_transpiler_that_does_not_load_is_not_taken_for_bad_texts(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    package = tmp_path / "node_modules" / "esbuild"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"main": "main.js"}')
    (package / "main.js").write_text('throw new Error("built for another machine");')
    with pytest.raises(QiPipelineError, match="built for another machine"):
        transpile({"a": RIGHT, "b": WRONG}, Toolchain(tmp_path), Sandbox())


OUT_OF_REACH = {
    "a module that is not offered": 'import vm from "node:vm"; said(vm);',
    "inspector": 'said(await import("node:inspector"));',
    "heap snapshots": 'said(await import("v8"));',
    "loader": 'said((await import("node:module")).createRequire("/"));',
    "processes": 'said(await import("node:child_process"));',
    "workers": 'said(await import("node:worker_threads"));',
    "sockets": 'said(await import("node:net"));',
    "built-in modules": 'said((process as any).getBuiltinModule("vm"));',
    "bindings": 'said((process as any).binding("contextify"));',
    "linked bindings": 'said((process as any)._linkedBinding("fs"));',
    "main module": 'said((process as any).mainModule.require("vm"));',
    "native code": 'said((process as any).dlopen({ exports: {} }, "/lib/x.node"));',
    "file URL": 'said(await import("file:///tmp/x.mjs"));',
    "data URL": 'said(await import("data:text/javascript,export default 1"));',
    "eval": 'said((0, eval)("1"));',
    "Function": 'said(Function("return 1")());',
    "WebAssembly of the harness": 'said((await import("node:wasi")));',
    "call sites": "Error.prepareStackTrace = (_, sites) => sites; said(new Error().stack);",
    "the harness": 'import fs from "node:fs"; said(fs.readFileSync("/proc/self/mem"));',
    "the system": 'import fs from "node:fs"; said(fs.readdirSync("/lib"));',
    "a file through a link": (
        'import fs from "node:fs"; fs.symlinkSync("/etc/passwd", "/tmp/link");'
        'said(fs.readFileSync("/tmp/link"));'
    ),
    "a file that is written": 'import fs from "node:fs"; said(fs.writeFileSync("/x", "1"));',
    "the network": 'said(await (await fetch("http://1.1.1.1")).text());',
}


def test_nothing_that_shows_or_leaves_the_process_can_be_reached(tester: ModuleTester) -> None:
    helper = 'const said = (found: unknown) => console.log("reached", typeof found);\n'
    tests = {
        name: ModuleTest(helper + attack + RIGHT, TESTS) for name, attack in OUT_OF_REACH.items()
    }
    runs = tester.run_many(tests)
    reached = [
        name for name, run in runs.items() if run.status == "passed" or "reached" in run.output
    ]
    assert reached == []


def test_tests_and_nonce_are_nowhere_to_be_read(tester: ModuleTester) -> None:
    module = """
      import fs from "node:fs";
      const look = (name: string, action: () => unknown) => {
        try { console.log(name, String(action())); } catch (error) { console.log(name, "closed"); }
      };
      look("standard input:", () => fs.readFileSync(0).length);
      const sizes = Array.from({ length: 2000 }, (_, n) => 64 << (n % 10));
      const buffers = sizes.map((size) => Buffer.allocUnsafeSlow(size));
      look("memory:", () => buffers.every((bytes) => bytes.every((byte) => byte === 0)));
      console.log("arguments:", process.argv.length, process.execArgv.join().includes("right"));
      let caller: unknown = "none";
      try { caller = (value as any).caller; } catch { caller = "closed"; }
      console.log("caller:", caller);
      export const value = (): string => "what is right";"""
    run = run_module_tests(module, TESTS, tester)
    assert run.status == "passed"
    lines = dict(line.split(": ", 1) for line in run.output.strip().splitlines())
    assert lines["standard input"] in {"0", "closed"}
    assert lines["memory"] == "true"
    assert lines["arguments"] == "2 false"
    assert lines["caller"] == "closed"


def test_a_module_reads_its_own_files_and_no_environment(tester: ModuleTester) -> None:
    module = """
      import { readFileSync, writeFileSync } from "node:fs";
      writeFileSync("/tmp/mine", Object.keys(process.env).join());
      console.log(readFileSync("/tmp/mine", "utf8"));
      export const value = (): string => "what is right";"""
    run = run_module_tests(module, TESTS, tester)
    assert (run.status, run.output.strip()) == ("passed", "HOME,TMPDIR,LANG,TZ")


def test_tests_that_assert_nothing_do_not_pass(tester: ModuleTester) -> None:
    run = run_module_tests(RIGHT, 'import "./solution";', tester)
    assert (run.status, run.failures) == ("failed", ("the tests asserted nothing",))


def test_tests_that_are_no_typescript_are_refused(tester: ModuleTester) -> None:
    run = run_module_tests(RIGHT, "const = 1;", tester)
    assert run.status == "refused"
    assert "the tests: line 1" in run.failures[0]


def test_one_bad_module_of_many_harms_no_other(tester: ModuleTester) -> None:
    deep = "export const value = " + "(" * 200_000 + "1" + ")" * 200_000
    tests = {
        "right": ModuleTest(RIGHT, TESTS),
        "deep": ModuleTest(deep, TESTS),
        "broken": ModuleTest("}", TESTS),
        "wrong": ModuleTest(WRONG, TESTS),
    }
    runs = tester.run_many(tests)
    assert list(runs) == list(tests)
    assert (runs["right"].status, runs["wrong"].status) == ("passed", "failed")
    assert runs["broken"].status == "refused"
    assert runs["deep"].status != "passed"


def test_output_is_clipped(tester: ModuleTester) -> None:
    run = run_module_tests('console.log("x".repeat(50000));' + RIGHT, TESTS, tester)
    assert (run.status, len(run.output)) == ("passed", 4000)


def test_without_the_walls_a_verdict_is_reached_the_same_way(tester: ModuleTester) -> None:
    unwalled = dataclasses.replace(tester, sandbox=Sandbox("off"))
    assert run_module_tests(RIGHT, TESTS, unwalled).status == "passed"
    assert run_module_tests("process.exit(0);" + WRONG, TESTS, unwalled).status == "no_verdict"


def test_the_library_is_bundled_once(sample: Sample, tester: ModuleTester) -> None:
    before = tester.library.stat().st_mtime_ns
    again = prepare_tester(sample.workspace, TOOLCHAIN, sample.cache)
    assert again.library == tester.library
    assert again.library.stat().st_mtime_ns == before


def test_a_library_that_cannot_be_bundled_is_named(
    sample: Sample, tester: ModuleTester, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    root.mkdir(mode=0o755)
    (root / "index.ts").write_text('import "./absent.js";')
    broken = dataclasses.replace(
        sample.workspace, root=root, paths={"@qi/base": (str(root / "index.ts"),)}
    )
    with pytest.raises(QiPipelineError, match=r"absent\.js"):
        bundle_library(broken, tester.toolchain, tmp_path / "cache", Sandbox())


def test_a_missing_toolchain_names_the_mend(sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="npm ci"):
        prepare_tester(sample.workspace, tmp_path, sample.cache)


TASKS = load_tasks(bundled_suite())


def test_every_reference_passes_its_tests(tester: ModuleTester) -> None:
    runs = tester.run_many({task.id: ModuleTest(task.reference, task.test) for task in TASKS})
    assert {name: run.failures for name, run in runs.items() if run.status != "passed"} == {}
    assert all(run.assertions >= 4 for run in runs.values())


def echo(task: Task) -> str:
    return f"export const {task.entry_point}: any = (first: any) => first;\n"


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["empty", "echo"])
def test_no_answer_without_work_passes(answer: str, tester: ModuleTester) -> None:
    runs = tester.run_many(
        {task.id: ModuleTest("" if answer == "empty" else echo(task), task.test) for task in TASKS}
    )
    assert [name for name, run in runs.items() if run.status == "passed"] == []
