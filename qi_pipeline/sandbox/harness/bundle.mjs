// One CommonJS file of a library and the npm packages it requires. Standard input: {"esbuild":
// path, "root": folder to resolve from, "entries": {specifier: file}, "packages": [name]}. Standard
// output: {"code": text, "left_out": {package: why}}; the code's exports are {specifier: () => exports}.
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
    await bundle([name]);
  } catch (error) {
    leftOut[name] = why(error);
  }
}
const usable = packages.filter((name) => !Object.hasOwn(leftOut, name));
try {
  const code = await bundle([...Object.keys(entries), ...usable]);
  process.stdout.write(JSON.stringify({ code, left_out: leftOut }), () => process.exit(0));
} catch (error) {
  const places = (error.errors ?? []).map(
    ({ text, location }) => `${location?.file ?? ""}:${location?.line ?? ""} ${text}`,
  );
  process.stderr.write(places.join("\n") || why(error), () => process.exit(1));
}
