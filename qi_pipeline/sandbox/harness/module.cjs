// Runs one untrusted module and then its tests, and says how the tests ended.
//
// Standard input: {"nonce", "library": path, "module": code, "tests": code, "entry": file name}.
// Standard output: among whatever the module writes, one line `NONCE {"failures", "assertions",
// "settled"}` in ASCII, or `NONCE {"refused"}` where the tests cannot run whatever the module is.
//
// A pass cannot be claimed by the module:
// - The nonce and the tests are read from a pipe that is drained before the module runs, live in
//   this file's own scope, and are nowhere on disk. What would show them - inspector, heap
//   snapshots, V8 flags, uninitialised memory, other modules' scopes - is out of reach: denied by
//   Node's permissions and flags, or not among the modules that can be imported.
// - The tests assert through functions captured before the module runs; intrinsics are frozen by
//   Node (--frozen-intrinsics); global names, the functions and classes of Node's modules and the
//   library's own are locked here (lock.cjs). So neither `assert`, `Buffer`, prototypes,
//   `JSON.stringify`, streams nor the loader can be replaced under the tests.
// - The verdict is written as a string, by functions captured before: no object that the module can
//   reach sees the nonce.
// - An assertion that failed counts even when the module swallows its exception, and one that could
//   not even be recorded, say at the end of the stack, is missed among those that succeeded.
// What remains possible: the module sees what the tests hand to it (arguments, and through
// `toString` the text of callbacks), may change those objects, may not call those callbacks, and
// may answer with proxies. It may change npm packages (some build their prototypes at first use),
// classes that the library makes only when it needs them, classes of Node that no module exports,
// state that the library's own functions change, and methods of classes that the tests themselves
// replace (`Logger.prototype.info = …`).
"use strict";

const { readSync, writeSync } = require("node:fs");
const builtins = require("node:module").builtinModules;
const vm = require("node:vm");
const { Locks } = require("./lock.cjs");

const finish = process.reallyExit.bind(process);
const toJson = JSON.stringify;
const { apply, ownKeys } = Reflect;
const { charCodeAt, padStart, slice } = String.prototype;
const numberToString = Number.prototype.toString;
const MESSAGE_LIMIT = 2000;
// What is told of failures must fit into the limit of output many times over.
const FAILURES_LIMIT = 20;
const FAILURES_TEXT_LIMIT = 8000;

// What pure library code has a use for. Everything else is reachable for the library alone, which
// is loaded before the module and hands nothing on.
const FOR_MODULES = new Set([
  "assert", "assert/strict", "buffer", "crypto", "events", "fs", "fs/promises", "os", "path",
  "path/posix", "perf_hooks", "querystring", "stream", "stream/promises", "string_decoder",
  "timers", "timers/promises", "url", "util", "util/types", "zlib",
]);
// Ways from `process` to modules, native code and other scopes.
const INTROSPECTION = [
  "_debugEnd", "_debugProcess", "_linkedBinding", "_startProfilerIdleNotifier", "binding",
  "dlopen", "getBuiltinModule", "mainModule", "openStdin", "report",
];

function readRequest() {
  const chunks = [];
  for (;;) {
    const chunk = Buffer.alloc(1 << 16);
    const count = readSync(0, chunk);
    if (count === 0) break;
    chunks.push(chunk.subarray(0, count));
  }
  const whole = Buffer.concat(chunks);
  const request = JSON.parse(whole.toString("utf8"));
  for (const bytes of [whole, ...chunks]) bytes.fill(0);
  return request;
}

// Error for the library: packages such as pino set Error.prepareStackTrace for a moment and do
// without when it has no effect, but not when it throws, as it does on a frozen Error.
function errorWithSettableHooks() {
  function LibraryError(...parameters) {
    return Reflect.construct(Error, parameters, new.target ?? Error);
  }
  LibraryError.prototype = Error.prototype;
  for (const name of ["prepareStackTrace", "stackTraceLimit"]) {
    Object.defineProperty(LibraryError, name, { value: Error[name], writable: true });
  }
  return Object.setPrototypeOf(LibraryError, Error);
}

// What tests replace in classes that they share with the module, to watch what it calls.
function replacedBy(tests) {
  const assigned = tests.matchAll(/\.prototype\.([A-Za-z_$][\w$]*)\s*=(?!=)/g);
  return new Set(Array.from(assigned, ([, name]) => name));
}

// The library's exports by specifier, each loaded when it is first asked for. `locks` is told of
// every function and class of the library's own that comes to be meanwhile, exported or not; npm
// packages are left alone, since some build their prototypes at first use.
function loadLibrary(path, locks) {
  const code = require("node:fs").readFileSync(path, "utf8");
  const loaded = { exports: {} };
  let loading = 0;
  const made = (value) => {
    if (loading > 0) locks.addFunction(value);
    return value;
  };
  const parameters = ["module", "exports", "require", "Error", "made"];
  const run = vm.compileFunction(code, parameters, { filename: "library" });
  run(loaded, loaded.exports, require, errorWithSettableHooks(), made);
  const { own, packages } = loaded.exports;
  const find = (specifier) => {
    if (Object.hasOwn(packages, specifier)) return packages[specifier]();
    loading += 1;
    try {
      const exported = own[specifier]();
      locks.addHolder(exported);
      return exported;
    } finally {
      loading -= 1;
    }
  };
  const has = (specifier) => Object.hasOwn(own, specifier) || Object.hasOwn(packages, specifier);
  return { has, find };
}

const isFunction = (value) => typeof value === "function";
const isClass = (name) => /^[A-Z]/.test(name);

// The tests' own view of an assertion function: counted, and its failure remembered.
function counted(original, tally) {
  const remember = (error) => {
    record(tally, describe(error));
    throw error;
  };
  const settle = (value) => {
    tally.settled += 1;
    return value;
  };
  return function assertion(...parameters) {
    tally.assertions += 1;
    let outcome;
    try {
      outcome = apply(original, undefined, parameters);
    } catch (error) {
      remember(error);
    }
    return outcome instanceof Promise ? outcome.then(settle, remember) : settle(outcome);
  };
}

function countedAssert(assert, tally) {
  const copy = counted(assert, tally);
  for (const name of ownKeys(assert)) {
    const value = assert[name];
    if (!isFunction(value) || name === "strict") continue;
    copy[name] = isClass(name) ? value : counted(value, tally);
  }
  return copy;
}

function assertsFor(tally) {
  const loose = countedAssert(require("node:assert"), tally);
  const strict = countedAssert(require("node:assert").strict, tally);
  loose.strict = strict;
  strict.strict = strict;
  return { loose: Object.freeze(loose), strict: Object.freeze(strict) };
}

function isFound(find, specifier) {
  try {
    find(specifier);
    return true;
  } catch {
    return false;
  }
}

function describe(error) {
  let text = "an exception without a readable message";
  try {
    text = error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`;
  } catch {
    // A getter of a hostile error object; the text above stands.
  }
  return text.length > MESSAGE_LIMIT ? `${text.slice(0, MESSAGE_LIMIT)}…` : text;
}

// Keep the first failures; further ones change nothing about the verdict.
function record({ failures }, text) {
  let room = FAILURES_TEXT_LIMIT;
  for (const failure of failures) room -= failure.length;
  if (failures.length === 0 || (failures.length < FAILURES_LIMIT && text.length <= room)) {
    failures.push(text);
  }
}

function moduleOf(values, identifier) {
  const names = Object.keys(values).filter((name) => name !== "default");
  const fallback = values.default ?? values;
  return new vm.SyntheticModule(
    [...names, "default"],
    function fill() {
      for (const name of names) this.setExport(name, values[name]);
      this.setExport("default", fallback);
    },
    { identifier },
  );
}

class Loader {
  #library;
  #made = new Map();
  #builtin;

  constructor(library, builtin) {
    this.#library = library;
    this.#builtin = builtin;
  }

  find(specifier) {
    if (!this.#made.has(specifier)) this.#made.set(specifier, this.#make(specifier));
    return this.#made.get(specifier);
  }

  #make(specifier) {
    if (this.#library.has(specifier)) {
      return moduleOf(Object.freeze(this.#library.find(specifier)), specifier);
    }
    const name = specifier.replace(/^node:/, "");
    const values = builtins.includes(name) ? this.#builtin(name) : undefined;
    if (values !== undefined) return moduleOf(values, specifier);
    throw new Error(`Cannot find module '${specifier}' in the sandbox`);
  }
}

async function evaluated(found, closeLocks) {
  closeLocks();
  if (found.status === "unlinked") await found.link(() => undefined);
  if (found.status === "linked") await found.evaluate();
  return found;
}

// Names that a module would reach the outside by, or pull from under the tests, stay as they are.
function lockGlobals(locks) {
  for (const name of INTROSPECTION) {
    Object.defineProperty(process, name, { value: undefined, writable: false, configurable: false });
  }
  for (const name of ownKeys(globalThis)) {
    // Read first: what is loaded at its first use takes its own place then.
    const held = globalThis[name];
    if (isFunction(held)) locks.addFunction(held);
    const property = Object.getOwnPropertyDescriptor(globalThis, name);
    if (!property.configurable) continue;
    if (name === "process" || name === "Buffer" || name === "console") {
      const value = globalThis[name];
      Object.defineProperty(globalThis, name, { value, writable: false, configurable: false });
    } else if ("value" in property) {
      Object.defineProperty(globalThis, name, { writable: false, configurable: false });
    } else {
      Object.defineProperty(globalThis, name, { set: undefined, configurable: false });
    }
  }
  locks.lockMethods(process);
}

// JSON in ASCII: a character is a byte, so what was written of it can be cut off.
function asciiOf(text) {
  let ascii = "";
  for (let at = 0; at < text.length; at += 1) {
    const code = apply(charCodeAt, text, [at]);
    const digits = code < 128 ? "" : apply(padStart, apply(numberToString, code, [16]), [4, "0"]);
    ascii += code < 128 ? text[at] : `\\u${digits}`;
  }
  return ascii;
}

function report(nonce, verdict) {
  let rest = `\n${nonce} ${asciiOf(toJson(verdict))}\n`;
  while (rest.length > 0) {
    try {
      rest = apply(slice, rest, [writeSync(1, rest)]);
    } catch (error) {
      // The reader is behind; the descriptor may have been made non-blocking.
      if (error.code !== "EAGAIN") throw error;
    }
  }
  finish(0);
}

async function main() {
  const { nonce, library: path, module: code, tests: testCode, name } = readRequest();
  const replaced = replacedBy(testCode);
  const locks = new Locks(replaced, { follows: true });
  const libraryLocks = new Locks(replaced, { follows: false });
  const closeLocks = () => [locks, libraryLocks].forEach((each) => each.close());
  const library = loadLibrary(path, libraryLocks);
  const tally = { assertions: 0, settled: 0, failures: [] };
  const asserts = assertsFor(tally);
  const shared = (builtin) => {
    const values = require(`node:${builtin}`);
    if (!FOR_MODULES.has(builtin)) return values;
    locks.addHolder(values);
    return values;
  };
  const forTests = new Loader(library, (builtin) => {
    if (builtin === "assert") return { ...asserts.loose, default: asserts.loose };
    if (builtin === "assert/strict") return { ...asserts.strict, default: asserts.strict };
    return shared(builtin);
  });
  const forModule = new Loader(library, (builtin) =>
    FOR_MODULES.has(builtin) ? shared(builtin) : undefined,
  );
  const isAnswer = (specifier) => specifier.replace(/\.(js|ts)$/, "") === `./${name}`;
  try {
    const answer = new vm.SourceTextModule(code, {
      identifier: name,
      importModuleDynamically: (specifier) => evaluated(forModule.find(specifier), closeLocks),
    });
    const findForTests = (specifier) =>
      isAnswer(specifier) ? answer : forTests.find(specifier);
    const tests = new vm.SourceTextModule(testCode, {
      identifier: "tests",
      importModuleDynamically: (specifier) => evaluated(findForTests(specifier), closeLocks),
    });
    const missing = tests.dependencySpecifiers.find((specifier) => !isFound(findForTests, specifier));
    if (missing !== undefined) {
      report(nonce, { refused: `the tests import ${toJson(missing)}, which is not there` });
    }
    await answer.link((specifier) => forModule.find(specifier));
    await tests.link(findForTests);
    lockGlobals(locks);
    closeLocks();
    await answer.evaluate();
    await tests.evaluate();
  } catch (error) {
    const said = describe(error);
    if (!tally.failures.includes(said)) record(tally, said);
  }
  report(nonce, tally);
}

main();
