# ruff: noqa: E501 - TypeScript in tables reads best one case a line
import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.settings import PROJECT_ROOT
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.workspace import LibraryWorkspace, prepare_library

TOOLCHAIN = PROJECT_ROOT / "toolchain"

RESULT = """
import type { QiError } from "./error.js";
export type Result<T, E = QiError> =
  | { readonly tag: "success"; readonly value: T }
  | { readonly tag: "failure"; readonly error: E };
export const success = <T>(value: T): Result<T, never> => ({ tag: "success", value });
export const failure = <E>(error: E): Result<never, E> => ({ tag: "failure", error });
export const isSuccess = <T, E>(r: Result<T, E>): r is { readonly tag: "success"; readonly value: T } =>
  r.tag === "success";
export const map = <T, U, E>(fn: (value: T) => U, r: Result<T, E>): Result<U, E> =>
  r.tag === "success" ? success(fn(r.value)) : r;
export const match = <T, E, R>(onOk: (v: T) => R, onErr: (e: E) => R, r: Result<T, E>): R =>
  r.tag === "success" ? onOk(r.value) : onErr(r.error);
export const unwrapOr = <T, E>(fallback: T, r: Result<T, E>): T =>
  r.tag === "success" ? r.value : fallback;
export const fromTryCatch = <T>(
  operation: () => T,
  onError: (error: unknown) => QiError,
): Result<T, QiError> => {
  try {
    return success(operation());
  } catch (error) {
    return failure(onError(error));
  }
};
"""

ERROR = """
export type ErrorCategory = "VALIDATION" | "NETWORK" | "SYSTEM";
export interface QiError {
  readonly code: string;
  readonly message: string;
  readonly category: ErrorCategory;
}
export const create = (code: string, message: string, category: ErrorCategory): QiError => ({
  code,
  message,
  category,
});
export const createError = (options: QiError): QiError => options;
export const validationError = (message: string): QiError => create("VALIDATION_ERROR", message, "VALIDATION");
"""

BASE = """
export type { Result } from "./result.js";
export type { ErrorCategory, QiError } from "./error.js";
export { success, failure, isSuccess, map, match, unwrapOr, fromTryCatch } from "./result.js";
export { fromTryCatch as tryCatch, success as Ok } from "./result.js";
export { create, createError, validationError } from "./error.js";
"""

CORE = """
import { create as createError, success, type QiError, type Result } from "@qi/base";
export class ConfigBuilder {
  private readonly data: Record<string, unknown>;
  constructor(data: Record<string, unknown>) { this.data = data; }
  static fromObject(data: Record<string, unknown>): ConfigBuilder { return new ConfigBuilder(data); }
  map(fn: (data: Record<string, unknown>) => Record<string, unknown>): ConfigBuilder {
    return new ConfigBuilder(fn(this.data));
  }
  build(): Result<Record<string, unknown>> { return success(this.data); }
}
export const configError = (message: string): QiError => createError("CONFIG", message, "SYSTEM");
"""

LIBRARY = {
    "typescript/lib/base/src/index.ts": BASE,
    "typescript/lib/base/src/result.ts": RESULT,
    "typescript/lib/base/src/error.ts": ERROR,
    "typescript/lib/core/src/index.ts": CORE,
    "typescript/lib/base/package.json": '{"name": "@qi/base"}',
    "typescript/lib/core/package.json": '{"dependencies": {"@qi/base": "file:../base"}}',
    "typescript/package.json": '{"private": true, "dependencies": {}}',
}


def make_snapshot(root: Path, files: Mapping[str, str]) -> Snapshot:
    profile = load_profile()
    rows = []
    for path, text in sorted(files.items()):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        blob = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        kind = profile.kind_of(path)
        assert kind is not None
        assert kind != "ignored"
        rows.append(SnapshotFile(path=path, blob=blob, kind=kind, size=len(text)))
    return Snapshot(
        root=root,
        tree_hash=hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest(),
        source="fixture",
        revision="HEAD",
        commit="a" * 40,
        committed_at="2025-09-01T00:00:00+00:00",
        subject="fixture",
        files=tuple(rows),
    )


@pytest.fixture(scope="session")
def profile() -> Profile:
    """The bundled profile without the development dependencies, so that no network is needed."""
    bundled = load_profile()
    offline = bundled.compile.model_copy(update={"development_dependencies": ()})
    return bundled.model_copy(update={"compile": offline})


@pytest.fixture(scope="session")
def library(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> LibraryWorkspace:
    folder = tmp_path_factory.mktemp("library")
    return prepare_library(make_snapshot(folder / "snapshot", LIBRARY), profile, folder / "cache")


@pytest.fixture(scope="session")
def checker(profile: Profile, library: LibraryWorkspace) -> Iterator[Checker]:
    with Checker(library, profile, TOOLCHAIN) as running:
        yield running


@pytest.fixture(scope="session")
def real_snapshot(real_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """HEAD of the real library, taken with git so that no other package is involved."""
    listed = subprocess.run(
        ["git", "-C", real_repository, "ls-tree", "-r", "--name-only", "HEAD"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    bundled = load_profile()
    wanted = [
        path for path in listed if bundled.kind_of(path) in {"implementation", "manifest", "app"}
    ]
    files = {
        path: subprocess.run(
            ["git", "-C", real_repository, "show", f"HEAD:{path}"],
            capture_output=True, text=True, check=True,
        ).stdout
        for path in wanted
    }  # fmt: skip
    return make_snapshot(tmp_path_factory.mktemp("real"), files)


@pytest.fixture(scope="session")
def real_checker(
    real_snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Checker]:
    bundled = load_profile()
    workspace = prepare_library(real_snapshot, bundled, tmp_path_factory.mktemp("real-cache"))
    with Checker(workspace, bundled, TOOLCHAIN) as running:
        yield running
