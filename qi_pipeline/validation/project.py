"""The compiler project that a library is loaded in, alone or with other sources.

Flows in: import paths and a profile. Flows out: the text of `tsconfig.json` and of a probe module
that imports every package, so that what the library exports can be asked for.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from qi_pipeline.library.profile import Profile

_COMPILER_OPTIONS: dict[str, Any] = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "noImplicitReturns": True,
    "noFallthroughCasesInSwitch": True,
    "noUncheckedSideEffectImports": True,
    "target": "ES2023",
    "lib": ["ES2023", "DOM"],
    "module": "ESNext",
    "moduleResolution": "bundler",
    "moduleDetection": "force",
    "esModuleInterop": True,
    "skipLibCheck": True,
    "noEmit": True,
}

PROBE = "library.ts"
"""Name of the probe module's file, relative to the project."""


def configuration(
    profile: Profile,
    paths: Mapping[str, Sequence[str]],
    node_modules: Path | None,
    include: Sequence[str],
) -> str:
    """Return `tsconfig.json` of a project with the probe and the files that `include` matches."""
    has_node_types = node_modules is not None and (node_modules / "@types" / "node").is_dir()
    return json.dumps(
        {
            "compilerOptions": {
                **_COMPILER_OPTIONS,
                **profile.compile.compiler_options,
                "types": ["node"] if has_node_types else [],
                "paths": {name: list(targets) for name, targets in paths.items()},
            },
            "files": [PROBE],
            "include": list(include),
        }
    )


def library_probe(profile: Profile, packages: Collection[str]) -> tuple[str, dict[str, int]]:
    """Return a module that imports `packages`, and the UTF-16 offset of each one's name in it."""
    text, offsets = "", {}
    for number, package in enumerate(profile.packages):
        if package.name in packages:
            head = "import * as "
            offsets[package.name] = len(text) + len(head)
            text += f'{head}package{number} from "{package.specifiers[0]}";\n'
    return text, offsets
