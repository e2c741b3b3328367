"""Small planted libraries and snapshots for the extraction tests."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from qi_pipeline.extraction.calls import Call
from qi_pipeline.extraction.exports import LibraryExports, read_modules
from qi_pipeline.extraction.extract import Extraction, extract_patterns
from qi_pipeline.extraction.members import CallResolver
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile

PROFILE: Profile = load_profile()
APP = "app/demo/src/index.ts"
DOC = "docs/tutorial/guide.md"

BASE = """
export type Result<T, E = QiError> = { tag: "success"; value: T } | { tag: "failure"; error: E };
export interface QiError { code: string; message: string }
export const success = <T>(value: T): Result<T> => ({ tag: "success", value });
export const failure = <T>(error: QiError): Result<T> => ({ tag: "failure", error });
export function map<T, U>(fn: (value: T) => U, result: Result<T>): Result<U> {
  return result.tag === "success" ? success(fn(result.value)) : result;
}
export function flatMap<T, U>(fn: (value: T) => Result<U>, result: Result<T>): Result<U> {
  return result.tag === "success" ? fn(result.value) : result;
}
export const match = <T, R>(ok: (value: T) => R, err: (error: QiError) => R, r: Result<T>): R =>
  r.tag === "success" ? ok(r.value) : err(r.error);
export const create = (code: string, message: string): QiError => ({ code, message });
export const validationError = (message: string) => create("VALIDATION_ERROR", message);
export const loggerError = (message: string) => create("LOGGER_ERROR", message);
"""
CORE = """
import { create as createError, success, type Result } from "@qi/base";
export class ConfigBuilder {
  static fromObject(data: object): ConfigBuilder { return new ConfigBuilder(); }
  build(): Result<object> { return success({}); }
}
export class MemoryCache { get(key: string): Result<string> { return success(key); } }
export const createLogger = (config: { level: string }): Result<object> => success(config);
export const createMemoryCache = () => new MemoryCache();
export const loggerError = (message: string) => createError("LOGGER_ERROR", message);
"""
LIBRARY: dict[str, str] = {
    "lib/base/src/index.ts": 'export * from "./result.js";\n',
    "lib/base/src/result.ts": BASE,
    "lib/core/src/index.ts": 'export * from "./services.js";\n',
    "lib/core/src/services.ts": CORE,
}


def plant(root: Path, files: Mapping[str, str | bytes]) -> Snapshot:
    """Write the files below `root` and return the snapshot that holds the relevant ones."""
    entries: list[SnapshotFile] = []
    for path, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        kind = PROFILE.kind_of(path)
        if kind is not None and kind != "ignored":
            blob = hashlib.sha1(data, usedforsecurity=False).hexdigest()
            entries.append(SnapshotFile(path=path, blob=blob, kind=kind, size=len(data)))
    return Snapshot(
        root=root,
        tree_hash="0" * 64,
        source="planted",
        revision="HEAD",
        commit="c" * 40,
        committed_at="2026-01-01T00:00:00+00:00",
        subject="planted",
        files=tuple(sorted(entries, key=lambda file: file.path)),
    )


def extract(
    root: Path, files: Mapping[str, str | bytes], library: Mapping[str, str] = LIBRARY
) -> Extraction:
    """Extract from the planted library and `files`."""
    return extract_patterns(plant(root, {**library, **files}), PROFILE)


def pattern_of(root: Path, container: str, files: Mapping[str, str | bytes]) -> Pattern:
    """Return the only pattern of that container outside the planted library."""
    (found,) = (
        pattern
        for pattern in extract(root, files).patterns
        if pattern.container == container and pattern.metadata.source_file not in LIBRARY
    )
    return found


def exports(files: Mapping[str, str]) -> LibraryExports:
    return LibraryExports(read_modules(files), PROFILE)


def calls_in(text: str, path: str = APP, files: Mapping[str, str] | None = None) -> list[Call]:
    """Return the calls that `text`, standing at `path` beside the planted library, makes."""
    library = exports({**LIBRARY, **(files or {}), path: text})
    return list(CallResolver(library).resolve(library.modules[path], path).calls)


def called(text: str, path: str = APP, files: Mapping[str, str] | None = None) -> list[str]:
    """Return `package:symbol form` of each call, in order."""
    return [f"{c.package}:{c.symbol} {c.form}" for c in calls_in(text, path, files)]
