"""The history of the sample library, as data.

HEAD is kept as plain files in `tree/`. Every earlier state follows from it by
undoing commits, newest first: a commit is described by changes that know how
to undo themselves. Files that are easier to keep than to describe lie in
`overlays/<slug>/` as they stood just before the commit `<slug>`.

Flows in: `tree/` and `overlays/`. Flows out: `states()`, the file tree after
each commit. Writing them to git belongs to `repository.py`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

TREE_ROOT = Path(__file__).parent / "tree"
OVERLAY_ROOT = Path(__file__).parent / "overlays"

Tree = dict[str, str]
"""The text of every file by its path from the root of the repository."""


class Change(Protocol):
    """One thing that a commit does to the tree."""

    def undo(self, tree: Tree) -> Tree:
        """Return the tree as it was before this change."""


@dataclass(frozen=True)
class Added:
    """Files that did not exist before: one path, or a folder given with a final slash."""

    path: str

    def undo(self, tree: Tree) -> Tree:
        """Leave the files out."""
        kept = {path: text for path, text in tree.items() if not self._covers(path)}
        if len(kept) == len(tree):
            raise ValueError(f"nothing to leave out under {self.path!r}")
        return kept

    def _covers(self, path: str) -> bool:
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path


@dataclass(frozen=True)
class Moved:
    """A folder that lay somewhere else; both are given with a final slash."""

    before: str
    after: str

    def undo(self, tree: Tree) -> Tree:
        """Move the folder back."""
        if not any(path.startswith(self.after) for path in tree):
            raise ValueError(f"nothing to move back from {self.after!r}")
        return {self._former(path): text for path, text in tree.items()}

    def _former(self, path: str) -> str:
        return re.sub(f"^{re.escape(self.after)}", self.before, path)


@dataclass(frozen=True)
class Edited:
    """A passage of a file that read differently, wherever it occurs in that file."""

    path: str
    before: str
    after: str

    def undo(self, tree: Tree) -> Tree:
        """Put the former wording back."""
        text = tree[self.path]
        if self.after not in text:
            raise ValueError(f"{self.path} does not contain {self.after!r}")
        return {**tree, self.path: text.replace(self.after, self.before)}


@dataclass(frozen=True)
class Reformatted:
    """A file that was indented twice as deep, with spare blank lines between its parts."""

    path: str

    def undo(self, tree: Tree) -> Tree:
        """Indent it again as it was; only whitespace at the start of lines changes."""
        deeper = re.sub(r"(?m)^ +", lambda indent: indent[0] * 2, tree[self.path])
        return {**tree, self.path: deeper.replace("\n\n", "\n\n\n")}


@dataclass(frozen=True)
class Overlaid:
    """Files that `overlays/<slug>/` keeps as they stood before; a deleted one is just kept."""

    slug: str

    def undo(self, tree: Tree) -> Tree:
        """Put the kept files back."""
        return {**tree, **read_tree(OVERLAY_ROOT / self.slug)}


@dataclass(frozen=True)
class Commit:
    """One commit of the sample history: a name for tests, its message, and what it changed."""

    slug: str
    message: str
    changes: tuple[Change, ...] = ()


THROWING_SHARE = """\
export const share = (cents: number, people: number): number => {
  if (people <= 0) throw new Error("There is nobody to share with");
  return Math.floor(cents / people);
};
"""
RETURNING_SHARE = """\
export const share = (cents: number, people: number): Result<number> =>
  people > 0
    ? success(Math.floor(cents / people))
    : failure(businessError("There is nobody to share with", { cents }));
"""
TAG_DEPOSIT = """\
export const depositOrNothing = (deposit: Result<number>): number =>
  deposit.tag === "success" ? deposit.value : 0;
"""
COMPLIANT_DEPOSIT = """\
export const depositOrNothing = (deposit: Result<number>): number => unwrapOr(0, deposit);
"""
GUARDED_WELCOME = """\
export const welcome = (user: Result<{ name: string }>): string => {
  if (isFailure(user)) return `Please sign in (${errorToString(user.error)})`;
  return `Welcome back, ${user.value.name}`;
};
"""
MATCHED_WELCOME = """\
export const welcome = (user: Result<{ name: string }>): string =>
  match(
    ({ name }) => `Welcome back, ${name}`,
    (error) => `Please sign in (${errorToString(error)})`,
    user,
  );
"""

RECOVERY = "app/error-handling/src/recovery.ts"
DESCRIBING = "app/error-handling/src/describing.ts"
CONSUMING = "app/basic-result/src/consuming.ts"
BASIC_INDEX = "app/basic-result/src/index.ts"

COMMITS: tuple[Commit, ...] = (
    Commit("base-library", "Add results and errors"),
    Commit(
        "async-helpers",
        "Add the combinators for asynchronous work",
        (
            Added("src/base/async.ts"),
            Added("tests/base/async.test.ts"),
            Overlaid("async-helpers"),
        ),
    ),
    Commit(
        "first-apps",
        "Add demos of results and of error handling",
        (Added("app/"),),
    ),
    Commit(
        "tutorials",
        "Add tutorials for results, composition, errors and asynchronous work",
        (Added("docs/tutorial/"),),
    ),
    Commit(
        "core-config",
        "Add the core package with configuration",
        (
            Added("src/core/"),
            Added("tests/core/"),
            Added("app/config-example/"),
            Edited("package.json", "", '  "dependencies": {\n    "zod": "^4.1.5"\n  },\n'),
            Edited("tsconfig.json", "", ',\n      "@qi/core": ["./src/core/index.ts"]'),
            Edited("vitest.config.ts", "", '      "@qi/core": source("./src/core/index.ts"),\n'),
        ),
    ),
    Commit(
        "layout-move",
        "Move the packages from src to lib",
        (
            Added("lib/base/package.json"),
            Added("lib/core/package.json"),
            Moved("src/base/", "lib/base/src/"),
            Moved("src/core/", "lib/core/src/"),
            Moved("tests/", "lib/tests/"),
            Overlaid("layout-move"),
        ),
    ),
    Commit(
        "cache-and-logger",
        "Add logger and cache to the core package, with demos and API documents",
        (
            Added("lib/core/src/logger.ts"),
            Added("lib/core/src/cache.ts"),
            Added("lib/tests/core/logger.test.ts"),
            Added("lib/tests/core/cache.test.ts"),
            Added("app/async-composition/"),
            Added("app/cache-example/"),
            Added("docs/tutorial/05-services.md"),
            Added("docs/api/"),
            Overlaid("cache-and-logger"),
        ),
    ),
    Commit(
        "formatting-only",
        "Reindent sources with two spaces",
        (
            Reformatted("lib/base/src/error.ts"),
            Reformatted("app/config-example/src/reading.ts"),
            Reformatted("app/cache-example/src/storing.ts"),
        ),
    ),
    Commit(
        "documents-only",
        "Rewrite the README and add notes for contributors",
        (Added("CONTRIBUTING.md"), Overlaid("documents-only")),
    ),
    Commit(
        "comment-only",
        "Say in comments why, not what",
        (
            Edited(
                "lib/core/src/cache.ts",
                "  // The entries, in the order of their use.\n",
                "  // A Map iterates in insertion order; re-inserting on every access keeps the\n"
                "  // least recently used key in front.\n",
            ),
            Edited(
                "lib/core/src/logger.ts",
                "// Numbers for the levels.\n",
                "// The numbers of pino and bunyan, so that their viewers can read the lines.\n",
            ),
            Edited(
                CONSUMING,
                "/** Results are consumed here. */",
                "/** Ways to leave a result: a default, a branch for each half, a question. */",
            ),
        ),
    ),
    Commit(
        "anti-pattern-fix",
        "Return failures instead of throwing and match instead of reading tags",
        (
            Edited(RECOVERY, THROWING_SHARE, RETURNING_SHARE),
            Edited(RECOVERY, TAG_DEPOSIT, COMPLIANT_DEPOSIT),
            Edited(DESCRIBING, GUARDED_WELCOME, MATCHED_WELCOME),
            Edited(
                DESCRIBING,
                "  inspectErr,\n  isErrorCategory,\n  isFailure,\n",
                "  inspectErr,\n  isErrorCategory,\n",
            ),
        ),
    ),
    Commit(
        "rename",
        "Rename show to describe",
        (
            Edited(CONSUMING, "export const show = ", "export const describe = "),
            Edited(BASIC_INDEX, "import { show } from", "import { describe } from"),
            Edited(BASIC_INDEX, "show(result)", "describe(result)"),
        ),
    ),
    Commit("deletion", "Delete shortcuts that nobody uses", (Overlaid("deletion"),)),
    Commit(
        "final-state",
        "Add services built from settings, logger and cache, and a notebook",
        (
            Added("app/cache-example/src/services.ts"),
            Added("docs/tutorial/nb/"),
            Overlaid("final-state"),
        ),
    ),
)


def read_tree(root: Path) -> Tree:
    """Read every file under a folder; what a package manager installed there is left out."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    relative = ((path.relative_to(root), path) for path in files)
    return {
        name.as_posix(): path.read_bytes().decode("utf-8")
        for name, path in relative
        if "node_modules" not in name.parts
    }


def states() -> list[tuple[Commit, Tree]]:
    """Return every commit with the tree it leaves behind, oldest first."""
    tree = read_tree(TREE_ROOT)
    newest_first: list[tuple[Commit, Tree]] = []
    for commit in reversed(COMMITS):
        newest_first.append((commit, tree))
        for change in commit.changes:
            tree = change.undo(tree)
    return newest_first[::-1]
