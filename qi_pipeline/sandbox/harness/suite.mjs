// Runs a library's own vitest suites and says how every test ended.
//
// Standard input: {"nonce", "vitest": folder, "root": folder, "files": [path], "aliases":
// {specifier: file}, "workers", "stop_at_first_failure"}. Standard output: among whatever is
// written, one line `NONCE {"tests": [{file, name, status, seconds, message}], "errors": [text]}`, in
// whose texts the root is called `/library`.
//
// Tests and the code under test run in processes of their own; the random word exists in this one
// alone, which loads none of them. They do report to this process what became of each test, so code
// that is out to forge its own tests' reports, or overwrites `expect`, can: a suite measures code
// that may be wrong, not code that lies.
import { readFileSync, writeSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";

const request = JSON.parse(readFileSync(0, "utf8"));
const { nonce, root } = request;
const { startVitest } = await import(pathToFileURL(join(request.vitest, "dist", "node.js")).href);

const MESSAGE_LIMIT = 500;
const clip = (text) => (text.length > MESSAGE_LIMIT ? `${text.slice(0, MESSAGE_LIMIT)}…` : text);
// The root is another one in every run; what is said of a failure must not be.
const messageOf = (error) => clip(String(error?.message ?? error).replaceAll(root, "/library"));

const vitest = await startVitest(
  "test",
  [],
  {
    root,
    config: false,
    watch: false,
    include: request.files,
    globals: true,
    environment: "node",
    pool: "forks",
    poolOptions: { forks: { minForks: 1, maxForks: request.workers } },
    fileParallelism: request.workers > 1,
    bail: request.stop_at_first_failure ? 1 : 0,
    testTimeout: 10_000,
    hookTimeout: 10_000,
    reporters: [{}],
    cache: false,
  },
  {
    cacheDir: "/tmp/vite",
    configFile: false,
    logLevel: "silent",
    // An address needs no look-up of "localhost", which nothing inside could answer.
    server: { host: "127.0.0.1" },
    resolve: {
      alias: Object.entries(request.aliases).map(([specifier, file]) => ({
        find: new RegExp(`^${specifier.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")}$`),
        replacement: file,
      })),
    },
  },
);

const errors = vitest.state.getUnhandledErrors().map(messageOf);
const tests = [];
for (const module of vitest.state.getTestModules()) {
  const file = relative(root, module.moduleId);
  for (const error of module.errors()) errors.push(`${file}: ${messageOf(error)}`);
  for (const test of module.children.allTests()) {
    const { state, errors: failures } = test.result();
    tests.push({
      file,
      name: test.fullName,
      status: state,
      seconds: (test.diagnostic()?.duration ?? 0) / 1000,
      message: failures?.length ? messageOf(failures[0]) : null,
    });
  }
  for (const suite of module.children.allSuites()) {
    for (const error of suite.errors()) errors.push(`${file}: ${suite.fullName}: ${messageOf(error)}`);
  }
}

let rest = Buffer.from(`\n${nonce} ${JSON.stringify({ tests, errors })}\n`);
while (rest.length > 0) {
  try {
    rest = rest.subarray(writeSync(1, rest));
  } catch (error) {
    // The reader is behind; the descriptor may have been made non-blocking.
    if (error.code !== "EAGAIN") throw error;
  }
}
process.reallyExit(0);
