"""Load and check a library profile: everything the pipeline knows about one TypeScript library.

Flows in: a TOML file. Flows out: a frozen `Profile`. Nothing here reads a repository.
"""

import re
import tomllib
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from qi_pipeline.errors import QiPipelineError

FileKind = Literal[
    "tutorial", "app", "implementation", "test", "api_doc", "notebook", "manifest", "ignored"
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))


class Package(_Frozen):
    """One npm package of the library."""

    name: str
    specifiers: tuple[str, ...]
    """Import paths that mean this package; `<specifier>/<module>` is a sub-path import of it."""
    entries: tuple[str, ...]
    """Globs of the file that defines the public API, newest layout first."""


class Umbrella(_Frozen):
    """Import paths that re-export several packages at once."""

    specifiers: tuple[str, ...] = ()


class SourceRule(_Frozen):
    """Paths of one kind of file."""

    kind: FileKind
    globs: tuple[str, ...]


class Layout(_Frozen):
    """Folders that held the same files in the course of the history."""

    name: str
    """What a file of these folders is known by; `*` is what the root's first `*` matched."""
    roots: tuple[str, ...]
    """Globs of the folders, newest layout first."""


class Area(_Frozen):
    """One part of the library, for telling integrations."""

    types: tuple[str, ...]
    """Pattern types whose symbols belong to it."""
    symbols: int
    """Distinct symbols that make it count."""


class Integration(_Frozen):
    """When a unit makes several parts of the library work together."""

    minimum_areas: int = 2
    areas: dict[str, Area] = {}


class Compile(_Frozen):
    """What must be installed before the library type-checks."""

    development_dependencies: tuple[str, ...]
    local_prefixes: tuple[str, ...]
    local_protocols: tuple[str, ...]
    compiler_options: dict[str, bool | str] = {}
    """Options of the library's own tsconfig that its users compile with too."""


class Tests(_Frozen):
    """How the library's own suites are run."""

    directories: tuple[str, ...] = ()
    """Globs of the working directory, best first; without a match it is the repository's root."""


class Conventions(_Frozen):
    """The facts that the convention rules speak of."""

    error_categories: tuple[str, ...]
    result_types: tuple[str, ...]
    combinators: dict[str, int]
    """Combinator name to the 0-based position of its Result argument."""
    category_arguments: dict[str, int | str]
    """Error factory name to the 0-based position, or option name, of its category."""
    tag_member: str = "tag"
    """Discriminating member of a Result (R1)."""
    payload_members: tuple[str, ...] = ("value", "error")
    """Members that hold a Result's content (R2)."""
    positional_handlers: tuple[str, ...] = ()
    """Combinators that take one handler per variant, by position (R5)."""
    throwing_callbacks: tuple[str, ...] = ()
    """Functions whose first argument may throw, because they catch (R7)."""
    waiting_callbacks: tuple[str, ...] = ()
    """Those of them whose first argument may be async (R7)."""
    throwing_declarations: tuple[str, ...] = ()
    """Functions (`name`) and methods (`Class.name`) that may throw (R7)."""
    async_helpers: dict[str, str] = {}
    """Combinator that calls its functions and does not wait, to the helper that waits (R6)."""
    failure_constructors: tuple[str, ...] = ()
    """Functions whose first argument is the error of a failed Result (R10)."""
    error_types: tuple[str, ...] = ()
    """Exported names of the library's error types (R10)."""
    error_member: str = "code"
    """Member that tells the library's errors from other objects (R10)."""
    import_suffixes: tuple[str, ...] = (".js",)
    """Endings that the path of a relative import may have; the first is the compliant one (R13)."""
    factory_names: str
    """Regular expression that names of factory functions match from their start."""


class Rule(_Frozen):
    """One convention rule's wording; the check itself is code in `validation.rules`."""

    summary: str
    message: str
    """What a violation says; `{name}` and `{known}` are filled in."""
    severity: Literal["error", "warning"] = "error"
    """An error keeps a module out of training and out of the adherent answers."""


class Profile(_Frozen):
    """One TypeScript library as data."""

    name: str
    system_prompt: str
    packages: tuple[Package, ...]
    umbrella: Umbrella = Umbrella()
    sources: tuple[SourceRule, ...]
    layouts: tuple[Layout, ...] = ()
    compile: Compile
    tests: Tests = Tests()
    types: dict[str, dict[str, tuple[str, ...]]]
    """Pattern type to package name to exported symbols."""
    integration: Integration = Integration()
    graded_apps: dict[str, Literal["basic", "intermediate", "advanced", "expert"]] = {}
    """App folder to the category in which the library itself puts it."""
    interchangeable: dict[str, tuple[tuple[str, ...], ...]] = {}
    """Package name to groups of functions that take and return the same."""
    bad_answers: dict[str, str] = {}
    """Name of a way to answer badly to a module that does it; ENTRY_POINT stands for the name that
    a task asks for. `always success` compiles, `wrong API` names what does not exist."""
    conventions: Conventions
    rules: dict[str, Rule]

    @cached_property
    def type_of_symbol(self) -> dict[str, str]:
        """Qualified symbol (`package:name`) to the pattern type it is evidence of."""
        return {
            f"{package}:{symbol}": pattern_type
            for pattern_type, packages in self.types.items()
            for package, symbols in packages.items()
            for symbol in symbols
        }

    def kind_of(self, path: str) -> FileKind | None:
        """Return the kind of the repository path `path`, or None when it is not relevant."""
        for rule in self.sources:
            if any(matches_glob(path, glob) for glob in rule.globs):
                return None if rule.kind == "ignored" else rule.kind
        return None

    @cached_property
    def _package_roots(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """Expressions of the packages' source folders, and the packages' names."""
        return tuple(
            (_root_expression(glob.rpartition("/")[0]), package.name)
            for package in self.packages
            for glob in package.entries
        )

    @cached_property
    def _layout_roots(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """Expressions of the layouts' folders, and the layouts' names."""
        return tuple(
            (_root_expression(root), layout.name)
            for layout in self.layouts
            for root in layout.roots
        )

    def layout_free_path(self, path: str) -> str:
        """Return what a file is known by whatever the repository's layout: name and path below."""
        packages = self._package_roots if self.kind_of(path) == "implementation" else ()
        for expression, name in (*packages, *self._layout_roots):
            found = expression.match(path)
            if found is not None:
                folder = found["folder"] if "folder" in expression.groupindex else ""
                return f"{name.replace('*', folder or '')}/{found['rest']}"
        return path

    def package_of_specifier(self, specifier: str) -> Package | None:
        """Return the package that the import path `specifier` means, sub-paths included."""
        for package in self.packages:
            if any(specifier == s or specifier.startswith(f"{s}/") for s in package.specifiers):
                return package
        return None


@lru_cache(maxsize=4096)
def _glob_expression(glob: str) -> re.Pattern[str]:
    """Translate a glob (`**/` any folders or none, `**` anything, `*` within one name)."""
    tokens = re.split(r"(\*\*/|\*\*|\*)", glob)
    table = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return re.compile("".join(table.get(token, re.escape(token)) for token in tokens) + r"\Z")


def _root_expression(glob: str) -> re.Pattern[str]:
    """Translate the glob of a folder; its first single `*` is captured as `folder`."""
    tokens = re.split(r"(\*\*/|\*\*|\*)", glob)
    table = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    parts = [table.get(token, re.escape(token)) for token in tokens]
    if "*" in tokens:
        parts[tokens.index("*")] = "(?P<folder>[^/]*)"
    return re.compile("".join(parts) + r"/(?P<rest>.+)\Z")


def matches_glob(path: str, glob: str) -> bool:
    """Tell whether the forward-slash path matches the glob as a whole."""
    return _glob_expression(glob).match(path) is not None


def load_profile(name_or_path: str = "qicore") -> Profile:
    """Return the bundled profile of that name, or the one in the TOML file at that path.

    Raises QiPipelineError when the file is missing, is not TOML, or lacks or misnames a field.
    """
    bundled = Path(__file__).with_name("profile.toml")
    path = bundled if name_or_path == "qicore" else Path(name_or_path)
    if not path.is_file():
        raise QiPipelineError(
            f"no library profile at {name_or_path!r}; give 'qicore' or the path of a profile.toml"
        )
    try:
        return Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise QiPipelineError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise QiPipelineError(f"{path} is not a library profile: {problems}") from error
