"""A small library in a real git repository, committed state by state. No assertions here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qi_pipeline.evolution.evolve import evolve
from qi_pipeline.evolution.lineage import Step, trace
from qi_pipeline.evolution.records import Evolution
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.settings import Settings
from qi_pipeline_tests.source.git_repository import GitRepository

PROFILE: Profile = load_profile()
TOOLCHAIN = Settings().toolchain_dir

RESULT = """
export interface QiError { code: string; message: string }
export type Result<T, E = QiError> =
  | { readonly tag: "success"; readonly value: T }
  | { readonly tag: "failure"; readonly error: E };
export const success = <T>(value: T): Result<T, never> => ({ tag: "success", value });
export const failure = <E>(error: E): Result<never, E> => ({ tag: "failure", error });
export function map<T, U>(fn: (value: T) => U, result: Result<T>): Result<U> {
  return result.tag === "success" ? success(fn(result.value)) : result;
}
export const unwrapOr = <T>(fallback: T, result: Result<T>): T =>
  result.tag === "success" ? result.value : fallback;
export const networkError = (message: string): QiError => ({ code: "NETWORK_ERROR", message });
export const timeoutError = (message: string): QiError => ({ code: "TIMEOUT_ERROR", message });
"""
INDEX = 'export * from "./result.js";\n'
APP = """
import { map, type Result, success } from "@qi/base";

export const doubled = (result: Result<number>): Result<number> => map((n) => n * 2, result);
export const two = doubled(success(1));
"""
TEST = """
import { map, success, unwrapOr } from "@qi/base";
import { expect, test } from "vitest";

test("map", () => expect(unwrapOr(0, map((n) => n + 1, success(1)))).toBe(2));
"""
GUIDE = """# Results

```ts
const answer = unwrapOr(0, success(42));
```

```ts
const wrong = success(1).value;
```
"""
ENTRY = "lib/base/src/index.ts"
SOURCE = "lib/base/src/result.ts"
APP_PATH = "app/demo/src/index.ts"
TEST_PATH = "lib/tests/base/result.test.ts"
GUIDE_PATH = "docs/tutorial/results.md"
LIBRARY: dict[str, str | bytes] = {ENTRY: INDEX, SOURCE: RESULT}
STATE: dict[str, str | bytes] = {
    **LIBRARY,
    APP_PATH: APP,
    TEST_PATH: TEST,
    GUIDE_PATH: GUIDE,
}


@dataclass
class Planted:
    """A repository and the cache of its evolution."""

    repository: GitRepository
    cache: Path
    lines: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, folder: Path) -> "Planted":
        return cls(GitRepository.create(folder / "library"), folder / "cache")

    def commit(self, files: Mapping[str, str | bytes], message: str = "change") -> str:
        return self.repository.commit(dict(files), message)

    def remove(self, *paths: str) -> None:
        for path in paths:
            (self.repository.path / path).unlink()

    def evolve(self) -> Evolution:
        self.lines.clear()
        head = self.repository.git("rev-parse", "HEAD")
        return evolve(self.repository.path, head, PROFILE, TOOLCHAIN, self.cache, self.lines.append)

    def steps(self) -> list[Step]:
        return trace(self.evolve().states)


def calls(step: Step, kind: str) -> dict[str, int]:
    """Return the calls by symbol in files of one kind."""
    return {symbol: n for (symbol, found), n in sorted(step.calls.items()) if found == kind}
