// Runs one untrusted module and then its tests, and says how the tests ended.
//
// Standard input: {"nonce", "library": path, "module": code, "tests": code, "entry": file name}.
// Standard output: among whatever the module writes, one line `NONCE {"failures", "assertions"}`.
//
// A pass cannot be claimed by the module:
// - The nonce and the tests are read from a pipe that is drained before the module runs, live in
//   this file's own scope, and are nowhere on disk. What would show them - inspector, heap
//   snapshots, V8 flags, uninitialised memory, other modules' scopes - is out of reach: denied by
//   Node's permissions and flags, or not among the modules that can be imported.
// - The tests assert through functions captured before the module runs; intrinsics are frozen by
//   Node (--frozen-intrinsics) and global names are locked here, so neither `assert`, prototypes,
//   `JSON.stringify`, streams nor the loader can be replaced under the tests.
// - An assertion that failed counts even when the module swallows its exception.
// What remains possible: the module sees what the tests hand to it (arguments, and through
// `toString` the text of callbacks), may change those objects, and may answer with proxies.
"use strict";

const { readSync, writeSync } = require("node:fs");
const builtins = require("node:module").builtinModules;
const vm = require("node:vm");

const finish = process.reallyExit.bind(process);
const toJson = JSON.stringify;
const { apply, ownKeys } = Reflect;
const MESSAGE_LIMIT = 2000;

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

function loadLibrary(path) {
  const code = require("node:fs").readFileSync(path, "utf8");
  const loaded = { exports: {} };
  const parameters = ["module", "exports", "require", "Error"];
  const run = vm.compileFunction(code, parameters, { filename: "library" });
  run(loaded, loaded.exports, require, errorWithSettableHooks());
  return loaded.exports;
}

const isFunction = (value) => typeof value === "function";
const isClass = (name) => /^[A-Z]/.test(name);

// The tests' own view of an assertion function: counted, and its failure remembered.
function counted(original, tally) {
  const remember = (error) => {
    tally.failures.push(describe(error));
    throw error;
  };
  return function assertion(...parameters) {
    tally.assertions += 1;
    let outcome;
    try {
      outcome = apply(original, undefined, parameters);
    } catch (error) {
      remember(error);
    }
    return outcome instanceof Promise ? outcome.then(undefined, remember) : outcome;
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

function describe(error) {
  let text = "an exception without a readable message";
  try {
    text = error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`;
  } catch {
    // A getter of a hostile error object; the text above stands.
  }
  return text.length > MESSAGE_LIMIT ? `${text.slice(0, MESSAGE_LIMIT)}…` : text;
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
    if (Object.hasOwn(this.#library, specifier)) {
      return moduleOf(Object.freeze(this.#library[specifier]()), specifier);
    }
    const name = specifier.replace(/^node:/, "");
    const values = builtins.includes(name) ? this.#builtin(name) : undefined;
    if (values !== undefined) return moduleOf(values, specifier);
    throw new Error(`Cannot find module '${specifier}' in the sandbox`);
  }
}

async function dynamicImport(loader, specifier) {
  const found = loader.find(specifier);
  if (found.status === "unlinked") await found.link(() => undefined);
  if (found.status === "linked") await found.evaluate();
  return found;
}

// Names that a module would reach the outside by, or pull from under the tests, stay as they are.
function lockGlobals() {
  for (const name of INTROSPECTION) {
    Object.defineProperty(process, name, { value: undefined, writable: false, configurable: false });
  }
  for (const name of ownKeys(globalThis)) {
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
}

function report(nonce, record) {
  let rest = Buffer.from(`\n${nonce} ${toJson(record)}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      // The reader is behind; the descriptor may have been made non-blocking.
      if (error.code !== "EAGAIN") throw error;
    }
  }
  finish(0);
}

async function main() {
  const { nonce, library: path, module: code, tests: testCode, name } = readRequest();
  const library = loadLibrary(path);
  const tally = { assertions: 0, failures: [] };
  const asserts = assertsFor(tally);
  const forTests = new Loader(library, (builtin) => {
    if (builtin === "assert") return { ...asserts.loose, default: asserts.loose };
    if (builtin === "assert/strict") return { ...asserts.strict, default: asserts.strict };
    // A copy: the module may change its own view of a built-in module, not that of the tests.
    return Object.freeze({ ...require(`node:${builtin}`) });
  });
  const forModule = new Loader(library, (builtin) =>
    FOR_MODULES.has(builtin) ? require(`node:${builtin}`) : undefined,
  );
  try {
    const answer = new vm.SourceTextModule(code, {
      identifier: name,
      importModuleDynamically: (specifier) => dynamicImport(forModule, specifier),
    });
    const tests = new vm.SourceTextModule(testCode, {
      identifier: "tests",
      importModuleDynamically: (specifier) => dynamicImport(forTests, specifier),
    });
    const isAnswer = (specifier) => specifier.replace(/\.(js|ts)$/, "") === `./${name}`;
    await answer.link((specifier) => forModule.find(specifier));
    await tests.link((specifier) => (isAnswer(specifier) ? answer : forTests.find(specifier)));
    lockGlobals();
    await answer.evaluate();
    await tests.evaluate();
  } catch (error) {
    const said = describe(error);
    if (!tally.failures.includes(said)) tally.failures.push(said);
  }
  report(nonce, tally);
}

main();
