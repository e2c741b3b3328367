"""Which packages change what other modules of the same program mean.

Flows in: an import path and the files the compiler reads because of it. Flows out: whether one of
them adds to the globals or to another module's declarations. Whoever imports such a package meant
to; a module beside it did not, so that they must not be compiled together.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.syntax import ParsedModule, string_value

_AUGMENTING = re.compile(
    r"\bglobal\s*\{|\bdeclare\s+module\b|\bexport\s+as\s+namespace\b|^\s*///\s*<reference\s+lib",
    re.MULTILINE,
)
_MODULE = re.compile(r"^\s*(?:import|export)\b", re.MULTILINE)


def foreign_imports(module: ParsedModule, profile: Profile) -> frozenset[str]:
    """Return the packages that `module` imports other than the library's and Node's own."""
    values = (string_value(module, node) for _, node in module.specifiers)
    return frozenset(
        value
        for value in values
        if value
        and not value.startswith("node:")
        and value not in profile.umbrella.specifiers
        and profile.package_of_specifier(value) is None
    )


def is_installed(specifier: str, node_modules: Path) -> bool:
    """Tell whether a package of that name, or types for it, are there to be imported."""
    parts = specifier.split("/")
    name = "/".join(parts[:2] if specifier.startswith("@") else parts[:1])
    types = name.removeprefix("@").replace("/", "__")
    # Neither raises for a name that no file can have.
    return any(os.path.isdir(node_modules / path) for path in (name, f"@types/{types}"))  # noqa: PTH112


def adds_globals(files: Iterable[str]) -> bool:
    """Tell whether one of `files` adds to what a program's other modules see.

    A file without an import or export is all globals; one that is no file on disk is a library of
    the compiler's own, which is so too. Raises QiPipelineError for a file that cannot be read.
    """
    return any(_adds_globals(Path(file)) for file in files)


def _adds_globals(file: Path) -> bool:
    if not file.is_file():
        return True
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise QiPipelineError(
            f"cannot read {file}, which the compiler reads: {error.strerror}; delete the folder "
            "of npm dependencies to have it installed again"
        ) from error
    return _AUGMENTING.search(text) is not None or _MODULE.search(text) is None
