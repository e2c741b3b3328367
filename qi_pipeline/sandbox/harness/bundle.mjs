// One CommonJS file of a library and the npm packages it requires. Standard input: {"esbuild":
// path, "root": folder to resolve from, "entries": {specifier: file}, "packages": [name]}. Standard
// output: {"code": text, "left_out": {package: why}}; the code's exports are {"own": {specifier: () =>
// exports}, "packages": the same}. It calls `made`, which must be in its scope, with every function
// and class of the library's own that has a name.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { esbuild: folder, root, entries, packages } = JSON.parse(readFileSync(0, "utf8"));
const esbuild = createRequire(import.meta.url)(folder);

// With `keepNames` a helper is called for every named function and class, exported or not.
const NAMED = /^var __name = \(target, value\) => (.+);$/m;
const announced = (code) => {
  const changed = code.replace(NAMED, "var __name = (target, value) => made($1);");
  if (changed === code && code.includes("__name(")) {
    throw new Error("this esbuild keeps names in another way; see bundle.mjs");
  }
  return changed;
};

const library = {
  name: "library",
  setup(build) {
    build.onResolve({ filter: /^[^./]/ }, ({ path }) =>
      Object.hasOwn(entries, path) ? { path: entries[path] } : undefined,
    );
    build.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, async ({ path }) => {
      if (!path.startsWith(`${root}/`) || path.includes("/node_modules/")) return undefined;
      const built = await esbuild.build({
        entryPoints: [path],
        write: false,
        target: "node20",
        charset: "utf8",
        keepNames: true,
        logLevel: "silent",
      });
      return { contents: announced(built.outputFiles[0].text), loader: "js" };
    });
  },
};

const object = (specifiers) => {
  const lines = specifiers.map((name) => {
    const text = JSON.stringify(name);
    return `${text}: () => require(${text}),`;
  });
  return `{\n${lines.join("\n")}\n}`;
};

const bundle = async (own, external) => {
  const contents = `module.exports = { own: ${object(own)}, packages: ${object(external)} };`;
  const built = await esbuild.build({
    stdin: { contents, resolveDir: root, loader: "js" },
    bundle: true,
    write: false,
    format: "cjs",
    platform: "node",
    target: "node20",
    charset: "utf8",
    legalComments: "none",
    // A package may require optional companions inside try; those fail when they are reached.
    logOverride: { "require-resolve-not-external": "silent" },
    logLevel: "silent",
    plugins: [library],
  });
  return built.outputFiles[0].text;
};

const why = (error) => error.errors?.[0]?.text ?? error.message;

// Packages of declarations alone, or for browsers, cannot be bundled; modules do without them.
const leftOut = {};
for (const name of packages) {
  try {
    await bundle([], [name]);
  } catch (error) {
    leftOut[name] = why(error);
  }
}
const usable = packages.filter((name) => !Object.hasOwn(leftOut, name));
try {
  const code = await bundle(Object.keys(entries), usable);
  process.stdout.write(JSON.stringify({ code, left_out: leftOut }), () => process.exit(0));
} catch (error) {
  const places = (error.errors ?? []).map(
    ({ text, location }) => `${location?.file ?? ""}:${location?.line ?? ""} ${text}`,
  );
  process.stderr.write(places.join("\n") || why(error), () => process.exit(1));
}
