// TypeScript to JavaScript without running either. Standard input: {"esbuild": path, "modules":
// {name: text}}. Standard output: {name: {"code": text} | {"error": text}}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { esbuild: folder, modules } = JSON.parse(readFileSync(0, "utf8"));
const esbuild = createRequire(import.meta.url)(folder);

// A type that is imported without `type` is dropped, as it is when a module is type-checked alone.
const options = {
  loader: "ts",
  format: "esm",
  target: "node20",
  tsconfigRaw: { compilerOptions: { target: "es2022" } },
  logLevel: "silent",
};

const transpile = async ([name, text]) => {
  try {
    return [name, { code: (await esbuild.transform(text, options)).code }];
  } catch (error) {
    const first = error.errors?.[0];
    const line = first?.location ? `line ${first.location.line}: ` : "";
    return [name, { error: `${line}${first?.text ?? error.message}` }];
  }
};

const transpiled = await Promise.all(Object.entries(modules).map(transpile));
process.stdout.write(JSON.stringify(Object.fromEntries(transpiled)), () => process.exit(0));
