"""Import statements as text.

Flows in: what a module imports. Flows out: the lines that say so, packages first, each statement in
the width of the library's own sources.
"""

from collections.abc import Mapping

Imports = Mapping[str, Mapping[str, tuple[str, bool]]]
"""Specifier to local name to (exported name, whether only types need it)."""


def import_lines(imports: Imports) -> list[str]:
    """Return the import statements of specifier to local name to (exported name, type only)."""
    lines: list[str] = []
    for specifier in sorted(imports, key=lambda s: (not s.startswith("@"), s)):
        names = imports[specifier]
        named: list[str] = []
        for local, (imported, type_only) in sorted(names.items()):
            prefix = "import type" if type_only else "import"
            if imported == "*":
                lines.append(f'{prefix} * as {local} from "{specifier}";')
            elif imported == "default":
                lines.append(f'{prefix} {local} from "{specifier}";')
            else:
                alias = f"{imported} as {local}" if imported != local else local
                named.append(f"type {alias}" if type_only else alias)
        if named:
            lines.append(_named_import(named, specifier))
    return ["\n".join(lines)] if lines else []


_LINE_WIDTH = 100


def _named_import(named: list[str], specifier: str) -> str:
    if all(name.startswith("type ") for name in named):
        names = ", ".join(name.removeprefix("type ") for name in named)
        line = f'import type {{ {names} }} from "{specifier}";'
    else:
        line = f'import {{ {", ".join(named)} }} from "{specifier}";'
    if len(line) <= _LINE_WIDTH:
        return line
    head, _, rest = line.partition("{ ")
    names, _, tail = rest.rpartition(" }")
    wrapped = names.replace(", ", ",\n  ")
    return f"{head}{{\n  {wrapped},\n}}{tail}"
