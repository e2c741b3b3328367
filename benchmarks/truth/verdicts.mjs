// Which files compile, said by the classic compiler's API: node verdicts.mjs REQUEST.json
//
// The request names the folder of the typescript package, a tsconfig.json for the options, and the
// files. Each file is a program of its own, as if `tsc` ran on it alone; only the parsed texts of
// the files that they all share are kept. Prints a JSON object: file -> error codes in that file.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const ts = createRequire(import.meta.url)(request.typescript);
const read = ts.readConfigFile(request.configuration, ts.sys.readFile);
const parsed = ts.parseJsonConfigFileContent(
  { ...read.config, include: undefined, files: [] },
  ts.sys,
  dirname(request.configuration),
);
const host = ts.createCompilerHost(parsed.options);
const parse = host.getSourceFile.bind(host);
const shared = new Map();
const own = new Set(request.files);
host.getSourceFile = (name, ...rest) => {
  if (own.has(name)) return parse(name, ...rest);
  if (!shared.has(name)) shared.set(name, parse(name, ...rest));
  return shared.get(name);
};
const verdicts = {};
for (const file of request.files) {
  const program = ts.createProgram([file], parsed.options, host);
  const source = program.getSourceFile(file);
  const found = [
    ...program.getOptionsDiagnostics(),
    ...program.getSyntacticDiagnostics(source),
    ...program.getSemanticDiagnostics(source),
  ];
  verdicts[file] = found
    .filter((item) => item.category === ts.DiagnosticCategory.Error)
    .map((item) => item.code);
}
console.log(JSON.stringify(verdicts));
