// Every call of a library symbol in a source tree, as the classic TypeScript checker sees it.
//
// Usage: node truth.mjs REQUEST, where REQUEST is a JSON file:
//   root         absolute folder of the tree
//   files        its TypeScript files, relative to root
//   blocks       code blocks among them, each completed with imports of all library exports that it
//                does not declare itself (one line in front, which is left out of the line numbers)
//   packages     package name -> entry file, relative to root, in order of precedence
//   paths        compilerOptions.paths
//   types        compilerOptions.types
// Prints {calls: [{file, line, column, form, names}], unparsed: [file]}; names are alternatives.
import fs from "node:fs";
import path from "node:path";
import ts from "typescript";

const request = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const options = {
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  moduleDetection: ts.ModuleDetectionKind.Force,
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  esModuleInterop: true,
  paths: request.paths,
  types: request.types,
};
const absolute = (file) => path.join(request.root, file);
const blocks = new Set(request.blocks.map(absolute));
const preludes = new Map();
const host = ts.createCompilerHost(options);
const readSource = host.getSourceFile.bind(host);
host.getSourceFile = (name, languageVersion, ...rest) =>
  preludes.has(name)
    ? ts.createSourceFile(name, preludes.get(name) + fs.readFileSync(name, "utf8"), languageVersion, true)
    : readSource(name, languageVersion, ...rest);

const exportsOf = (program) => {
  const checker = program.getTypeChecker();
  return Object.entries(request.packages).map(([name, entry]) => {
    const file = program.getSourceFile(absolute(entry));
    return [name, checker.getExportsOfModule(checker.getSymbolAtLocation(file))];
  });
};

// ── Preludes ────────────────────────────────────────────────────────────────────────────────────
const declaredNames = (file) => {
  const found = new Set();
  const bind = (name) => {
    if (ts.isIdentifier(name)) found.add(name.text);
    else for (const element of name.elements) if (element.name) bind(element.name);
  };
  for (const statement of file.statements) {
    if (ts.isVariableStatement(statement)) {
      for (const declaration of statement.declarationList.declarations) bind(declaration.name);
    } else if (ts.isImportDeclaration(statement) && statement.importClause) {
      const { name, namedBindings } = statement.importClause;
      if (name) bind(name);
      if (namedBindings && ts.isNamespaceImport(namedBindings)) bind(namedBindings.name);
      else for (const element of namedBindings?.elements ?? []) bind(element.name);
    } else if (statement.name && ts.isIdentifier(statement.name)) {
      bind(statement.name);
    }
  }
  return found;
};
const unparsed = [];
const library = exportsOf(ts.createProgram(Object.values(request.packages).map(absolute), options, host));
for (const block of blocks) {
  const file = ts.createSourceFile(block, fs.readFileSync(block, "utf8"), options.target, true);
  if (file.parseDiagnostics.length > 0) {
    unparsed.push(path.relative(request.root, block));
    blocks.delete(block);
    continue;
  }
  const taken = declaredNames(file);
  let prelude = "";
  for (const [name, symbols] of library) {
    const free = symbols.map((symbol) => symbol.name).filter((one) => one !== "default" && !taken.has(one));
    for (const one of free) taken.add(one);
    prelude += `import { ${free.join(", ")} } from "${name}"; `;
  }
  preludes.set(block, `${prelude}\n`);
}

// ── Calls ───────────────────────────────────────────────────────────────────────────────────────
const sources = request.files.map(absolute).filter((name) => !unparsed.includes(path.relative(request.root, name)));
const program = ts.createProgram(sources, options, host);
const checker = program.getTypeChecker();
const resolved = (symbol) =>
  symbol && symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
const exported = new Map();
for (const [name, symbols] of exportsOf(program)) {
  for (const symbol of symbols) {
    const meant = resolved(symbol);
    exported.set(meant, [...(exported.get(meant) ?? []), `${name}:${symbol.name}`]);
  }
}

const unwrapped = (node) => {
  while (
    ts.isParenthesizedExpression(node) || ts.isNonNullExpression(node) || ts.isAsExpression(node) ||
    ts.isSatisfiesExpression(node)
  ) node = node.expression;
  return node;
};
const symbolAt = (node) => {
  const expression = unwrapped(node);
  if (ts.isPropertyAccessExpression(expression)) return checker.getSymbolAtLocation(expression.name);
  if (ts.isElementAccessExpression(expression)) return checker.getSymbolAtLocation(expression.argumentExpression);
  return checker.getSymbolAtLocation(expression);
};

// What a constant stands for that only gives something another name: `const other = map`,
// `const { map } = await import("@qi/base")`, `.then(({ map }) => …)`.
const followed = (symbol, depth = 0) => {
  const meant = resolved(symbol);
  if (!meant || exported.has(meant) || depth > 9) return meant;
  const declaration = meant.valueDeclaration;
  if (!declaration) return meant;
  const isConstant = (node) => (ts.getCombinedNodeFlags(node) & ts.NodeFlags.Const) !== 0;
  if (ts.isVariableDeclaration(declaration) && declaration.initializer && !declaration.type && isConstant(declaration)) {
    const value = unwrapped(declaration.initializer);
    if (ts.isIdentifier(value) || ts.isPropertyAccessExpression(value)) {
      return followed(symbolAt(value), depth + 1) ?? meant;
    }
  }
  if (ts.isBindingElement(declaration) && ts.isObjectBindingPattern(declaration.parent)) {
    const holder = declaration.parent.parent;
    const fixed = ts.isParameter(holder) || (ts.isVariableDeclaration(holder) && isConstant(holder));
    const key = declaration.propertyName ?? declaration.name;
    if (fixed && ts.isIdentifier(key)) {
      const property = checker.getTypeAtLocation(declaration.parent).getProperty(key.text);
      const target = resolved(property);
      // Only functions and classes of a module; a destructured method is no call of a member.
      if (target && exported.has(target)) return target;
    }
  }
  return meant;
};

const typesOf = (symbol) => {
  const parents = new Set(symbol.parent ? [symbol.parent] : []);
  for (const declaration of symbol.declarations ?? []) {
    const holder = declaration.parent;
    if (holder && (ts.isClassLike(holder) || ts.isInterfaceDeclaration(holder)) && holder.name) {
      parents.add(checker.getSymbolAtLocation(holder.name));
    } else if (holder && ts.isConstructorDeclaration(holder) && holder.parent.name) {
      parents.add(checker.getSymbolAtLocation(holder.parent.name));
    }
  }
  const kinds = ts.SymbolFlags.Class | ts.SymbolFlags.Interface;
  return [...parents].filter((parent) => parent && parent.flags & kinds && exported.has(parent));
};
const isStatic = (symbol) =>
  (symbol.declarations ?? []).some((one) => ts.getCombinedModifierFlags(one) & ts.ModifierFlags.Static);

const calls = [];
for (const name of sources) {
  const file = program.getSourceFile(name);
  const visit = (node) => {
    ts.forEachChild(node, visit);
    if (!ts.isCallExpression(node) && !ts.isNewExpression(node)) return;
    const callee = node.expression;
    if (callee.kind === ts.SyntaxKind.SuperKeyword || callee.kind === ts.SyntaxKind.ImportKeyword) return;
    const symbol = followed(symbolAt(callee));
    if (!symbol) return;
    let form = ts.isNewExpression(node) ? "new" : "direct";
    let names = exported.get(symbol);
    if (!names) {
      const types = typesOf(symbol);
      if (types.length === 0) return;
      form = isStatic(symbol) ? "static_member" : "instance_member";
      names = types.flatMap((type) => exported.get(type).map((one) => `${one}.${symbol.name}`));
    }
    const { line, character } = file.getLineAndCharacterOfPosition(callee.getStart(file));
    calls.push({
      file: path.relative(request.root, name).split(path.sep).join("/"),
      line: preludes.has(name) ? line : line + 1,
      column: character + 1,
      form,
      names,
    });
  };
  visit(file);
}
process.stdout.write(JSON.stringify({ calls, unparsed }));
