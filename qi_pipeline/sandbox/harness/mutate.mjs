// Mutants of TypeScript modules, none of which is run. Standard input: {"instrumenter": path,
// "modules": {name: text}}. Standard output: {name: {"mutants": [{"operator", "start", "end",
// "replacement"}]} | {"error": text}}; start and end count code points of the text. What comments of
// the text tell Stryker to leave out is not left out.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { instrumenter: folder, modules } = JSON.parse(readFileSync(0, "utf8"));
const installed = createRequire(`${folder}/package.json`);
const { Instrumenter } = await import(pathToFileURL(installed.resolve(folder)));
const { parseExpression } = installed("@babel/parser");

const ignore = () => {};
const logger = { isDebugEnabled: () => false, debug: ignore, info: ignore, warn: ignore };
const options = { plugins: null, excludedMutations: [], ignorers: [], noHeader: true };

// Offsets at which lines start; Babel ends a line where ECMAScript does.
const lineStarts = (text) => [
  0,
  ...Array.from(text.matchAll(/\r\n|[\n\r\u2028\u2029]/g), (end) => end.index + end[0].length),
];

const expressionType = (code) => {
  try {
    return parseExpression(code, { plugins: ["typescript"], sourceType: "module" }).type;
  } catch {
    return undefined; // a statement, or part of one
  }
};

const BINDS_TIGHTLY =
  /^(Identifier|\w*Literal|(Optional)?(Member|Call)Expression|NewExpression|ThisExpression|(Array|Object)Expression|TSNonNullExpression)$/;

// The instrumenter puts syntax trees in the place of others, so a replacement that becomes text
// needs the parentheses that the tree implied (`!(a || b) && c` becomes `(a || b) && c`), and a
// space where it would join the word before it (`return!x`).
const inPlace = (before, original, replacement) => {
  const type = expressionType(replacement);
  const loose = type && !BINDS_TIGHTLY.test(type) && type !== expressionType(original);
  const text = loose ? `(${replacement})` : replacement;
  return /[\w$]{2}|\+\+|--/.test(before.slice(-1) + text.slice(0, 1)) ? ` ${text}` : text;
};

const mutate = async ([name, text]) => {
  try {
    const file = { name: "module.ts", mutate: true, content: text };
    const { mutants } = await new Instrumenter(logger).instrument([file], options);
    const starts = lineStarts(text);
    const offset = ({ line, column }) => starts[line] + column;
    const points = (units) => Array.from(text.slice(0, units)).length;
    const described = ({ mutatorName, location, replacement }) => {
      const [start, end] = [offset(location.start), offset(location.end)];
      return {
        operator: mutatorName,
        start: points(start),
        end: points(end),
        replacement: inPlace(text.slice(0, start), text.slice(start, end), replacement),
      };
    };
    return [name, { mutants: mutants.map(described) }];
  } catch (error) {
    return [name, { error: error.message.split("\n")[0].replace(/^.*module\.ts: /, "") }];
  }
};

const mutated = [];
for (const entry of Object.entries(modules)) mutated.push(await mutate(entry));
process.stdout.write(JSON.stringify(Object.fromEntries(mutated)), () => process.exit(0));
