// One CommonJS file of a library and the npm packages it requires. Standard input: {"esbuild":
// path, "root": folder to resolve from, "entries": {specifier: file}, "packages": [name]}. Standard
// output: {"code": text, "left_out": {package: why}}; the code's exports are {specifier: () => exports}
// and it calls `made`, which must be in its scope, with every named function and class that it makes.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { esbuild: folder, root, entries, packages } = JSON.parse(readFileSync(0, "utf8"));
const esbuild = createRequire(import.meta.url)(folder);

const library = {
  name: "library",
  setup(build) {
    build.onResolve({ filter: /^[^./]/ }, ({ path }) =>
      Object.hasOwn(entries, path) ? { path: entries[path] } : undefined,
    );
  },
};

const bundle = async (specifiers) => {
  const lines = specifiers.map((name) => {
    const text = JSON.stringify(name);
    return `${text}: () => require(${text}),`;
  });
  const built = await esbuild.build({
    stdin: { contents: `module.exports = {\n${lines.join("\n")}\n};`, resolveDir: root, loader: "js" },
    bundle: true,
    write: false,
    format: "cjs",
    platform: "node",
    target: "node20",
    charset: "utf8",
    keepNames: true,
    legalComments: "none",
    // A package may require optional companions inside try; those fail when they are reached.
    logOverride: { "require-resolve-not-external": "silent" },
    logLevel: "silent",
    plugins: [library],
  });
  return built.outputFiles[0].text;
};

// With `keepNames` one helper is called for all functions and classes, exported or not.
const NAMED = /^var __name = \(target, value\) => (.+);$/m;
const announced = (code) => {
  const changed = code.replace(NAMED, "var __name = (target, value) => made($1);");
  if (changed === code) throw new Error("this esbuild keeps names in another way; see bundle.mjs");
  return changed;
};

const why = (error) => error.errors?.[0]?.text ?? error.message;

// Packages of declarations alone, or for browsers, cannot be bundled; modules do without them.
const leftOut = {};
for (const name of packages) {
  try {
    await bundle([name]);
  } catch (error) {
    leftOut[name] = why(error);
  }
}
const usable = packages.filter((name) => !Object.hasOwn(leftOut, name));
try {
  const code = announced(await bundle([...Object.keys(entries), ...usable]));
  process.stdout.write(JSON.stringify({ code, left_out: leftOut }), () => process.exit(0));
} catch (error) {
  const places = (error.errors ?? []).map(
    ({ text, location }) => `${location?.file ?? ""}:${location?.line ?? ""} ${text}`,
  );
  process.stderr.write(places.join("\n") || why(error), () => process.exit(1));
}
