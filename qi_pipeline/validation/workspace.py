"""A library snapshot made ready for the compiler.

Flows in: a `Snapshot` and the `Profile`. Flows out: a `LibraryWorkspace` - an immutable directory
with the library's own sources and its npm dependencies, and the import paths that reach them.
Nothing of the repository is run: npm installs with scripts disabled. The compiler's options and
the modules that are judged against the library belong to `checker`.
"""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from qi_pipeline.artefacts import build_directory, content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Package, Profile, matches_glob
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile

_ALWAYS_INSTALLED = {"@types/node": "20.19.25"}
"""Development dependencies needed even where no manifest names them, as the toolchain pins them."""
_NPM_TIMEOUT_S = 600
_NPM_LINES_SHOWN = 12


@dataclass(frozen=True)
class LibraryWorkspace:
    """Where one snapshot of the library lies and how a module imports it."""

    root: Path
    """Directory with the implementation files under their repository paths."""
    node_modules: Path
    """The installed npm dependencies; shared by all snapshots with equal requirements."""
    entries: Mapping[str, Path]
    """Package name to the absolute path of the file that defines its public API."""
    paths: Mapping[str, tuple[str, ...]]
    """`compilerOptions.paths`: import specifier (or `specifier/*`) to absolute targets."""
    requirements: Mapping[str, str]
    """npm package to version range, as installed."""


def prepare_library(snapshot: Snapshot, profile: Profile, cache_dir: Path) -> LibraryWorkspace:
    """Return the workspace of `snapshot`, building what `cache_dir` does not hold yet.

    Raises QiPipelineError when the snapshot holds no package entry, when a manifest cannot be
    read, or when npm is missing or fails.
    """
    entries = find_entries(snapshot, profile)
    requirements = npm_requirements(snapshot, profile, entries)
    installed = install_requirements(requirements, cache_dir)
    sources = _implementation_files(snapshot)
    key = content_hash(
        {
            "files": [[file.path, file.blob] for file in sources],
            "requirements": requirements,
            "packages": [package.model_dump() for package in profile.packages],
        }
    )
    root = build_directory(
        cache_dir / "workspaces" / key, lambda target: _fill(target, snapshot, sources, installed)
    )
    return LibraryWorkspace(
        root=root,
        node_modules=installed / "node_modules",
        entries={name: root / path for name, path in entries.items()},
        paths=import_paths(root, profile, entries, {file.path for file in sources}),
        requirements=requirements,
    )


def _implementation_files(snapshot: Snapshot) -> list[SnapshotFile]:
    return [file for file in snapshot.files if file.kind == "implementation"]


def _fill(
    target: Path, snapshot: Snapshot, sources: Iterable[SnapshotFile], installed: Path
) -> None:
    for file in sources:
        copy = target / PurePosixPath(file.path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(snapshot.path_of(file).read_bytes())
    # Relative, so that the cache folder as a whole can be moved; `target` is a sibling of its
    # final place and therefore equally deep.
    modules = Path(os.path.relpath(installed / "node_modules", target))
    (target / "node_modules").symlink_to(modules, target_is_directory=True)


def find_entries(snapshot: Snapshot, profile: Profile) -> dict[str, PurePosixPath]:
    """Return package name to the repository path of its entry file.

    A package without an entry is left out; QiPipelineError when none has one.
    """
    found = entries_among([file.path for file in _implementation_files(snapshot)], profile)
    if not found:
        globs = ", ".join(glob for package in profile.packages for glob in package.entries)
        raise QiPipelineError(
            f"commit {snapshot.commit[:12]} of {snapshot.source} holds no file that defines a "
            f"package of the {profile.name} profile; expected one of {globs}; choose a later "
            "revision or add the layout to `entries` in the profile"
        )
    return found


def entries_among(paths: Iterable[str], profile: Profile) -> dict[str, PurePosixPath]:
    """Return package name to the repository path of its entry file among implementation files."""
    ordered = sorted(paths, key=_by_depth)
    found = {package.name: _first_match(ordered, package) for package in profile.packages}
    return {name: PurePosixPath(entry) for name, entry in found.items() if entry is not None}


def _by_depth(path: str) -> tuple[int, str]:
    return (path.count("/"), path)


def _first_match(paths: Iterable[str], package: Package) -> str | None:
    for glob in package.entries:
        for path in paths:
            if matches_glob(path, glob):
                return path
    return None


def import_paths(
    root: Path, profile: Profile, entries: Mapping[str, PurePosixPath], files: set[str]
) -> dict[str, tuple[str, ...]]:
    """Return `compilerOptions.paths` for a library whose `files` lie below `root`."""
    paths: dict[str, tuple[str, ...]] = {}
    for package in profile.packages:
        entry = entries.get(package.name)
        if entry is not None:
            for specifier in package.specifiers:
                paths[specifier] = ((root / entry).as_posix(),)
                paths[f"{specifier}/*"] = ((root / entry.parent / "*").as_posix(),)
    umbrella = _umbrella_entry(entries, files)
    if umbrella is not None:
        for specifier in profile.umbrella.specifiers:
            paths[specifier] = ((root / umbrella).as_posix(),)
    return paths


def _umbrella_entry(entries: Mapping[str, PurePosixPath], files: set[str]) -> PurePosixPath | None:
    """Return the file that re-exports the packages, which older layouts kept above them."""
    candidates = {entry.parent.parent / "index.ts" for entry in entries.values()}
    return next((path for path in sorted(candidates) if path.as_posix() in files), None)


def npm_requirements(
    snapshot: Snapshot, profile: Profile, entries: Mapping[str, PurePosixPath]
) -> dict[str, str]:
    """Return npm package to version range for everything the library's sources import.

    Read from the manifests between each entry and the repository root: the nearest one wins.
    Raises QiPipelineError naming a manifest that is not a JSON object.
    """
    manifests = _manifests_above(snapshot, entries.values())
    wanted: dict[str, str] = {}
    for manifest in manifests:
        for section in ("dependencies", "peerDependencies"):
            for name, version in _section(manifest, section).items():
                if _is_from_registry(name, version, profile):
                    wanted.setdefault(name, version)
    for name in profile.compile.development_dependencies:
        declared = _development_version(name, manifests)
        if declared is not None:
            wanted.setdefault(name, declared)
    return dict(sorted(wanted.items()))


def _manifests_above(snapshot: Snapshot, entries: Iterable[PurePosixPath]) -> list[dict[str, Any]]:
    by_path = {file.path: file for file in snapshot.files if file.kind == "manifest"}
    found: dict[str, SnapshotFile] = {}
    for entry in entries:
        for folder in entry.parents:
            path = (folder / "package.json").as_posix()
            if path in by_path:
                found.setdefault(path, by_path[path])
    # Deepest first: a package's own manifest is nearer than the workspace root's.
    ordered = sorted(found, key=lambda path: (-path.count("/"), list(found).index(path)))
    return [_read_manifest(snapshot, found[path]) for path in ordered]


def _read_manifest(snapshot: Snapshot, file: SnapshotFile) -> dict[str, Any]:
    try:
        manifest = json.loads(snapshot.read_text(file))
    except json.JSONDecodeError as error:
        raise QiPipelineError(
            f"{file.path} of commit {snapshot.commit[:12]} is not JSON ({error}); the library's "
            "npm dependencies cannot be read; choose another revision"
        ) from error
    if not isinstance(manifest, dict):
        raise QiPipelineError(
            f"{file.path} of commit {snapshot.commit[:12]} holds no JSON object; choose another "
            "revision"
        )
    return manifest


def _section(manifest: dict[str, Any], name: str) -> dict[str, str]:
    section = manifest.get(name)
    if not isinstance(section, dict):
        return {}
    return {str(key): str(value) for key, value in section.items()}


def _is_from_registry(name: str, version: str, profile: Profile) -> bool:
    local = profile.compile
    return not name.startswith(local.local_prefixes) and not version.startswith(
        local.local_protocols
    )


def _development_version(name: str, manifests: Iterable[dict[str, Any]]) -> str | None:
    for manifest in manifests:
        version = _section(manifest, "devDependencies").get(name)
        if version is not None:
            return version
    return _ALWAYS_INSTALLED.get(name)


def install_requirements(requirements: Mapping[str, str], cache_dir: Path) -> Path:
    """Return the directory whose `node_modules` holds `requirements`, installing them once.

    Raises QiPipelineError when npm is missing, fails or does not end in ten minutes.
    """
    target = cache_dir / "npm" / content_hash(dict(requirements))
    return build_directory(target, lambda folder: _install(folder, requirements))


def _install(folder: Path, requirements: Mapping[str, str]) -> None:
    (folder / "node_modules").mkdir()
    if not requirements:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise QiPipelineError(
            "npm is not on PATH, and the library's dependencies must be installed before it "
            "type-checks; install Node.js 20 or newer"
        )
    manifest = {"private": True, "dependencies": dict(requirements)}
    (folder / "package.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    # No script of any package is run: only declaration files are wanted.
    arguments = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            [npm, *arguments], cwd=folder, capture_output=True, text=True, check=False,
            timeout=_NPM_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _npm_error(requirements, f"no end after {_NPM_TIMEOUT_S} s") from error
    if "ENOSPC" in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if done.returncode != 0:
        raise _npm_error(requirements, done.stderr or done.stdout)


def _npm_error(requirements: Mapping[str, str], output: str) -> QiPipelineError:
    names = ", ".join(f"{name}@{version}" for name, version in requirements.items())
    lines = [line for line in output.strip().splitlines() if line.strip()]
    shown = "\n".join(lines[-_NPM_LINES_SHOWN:])
    return QiPipelineError(
        f"npm could not install {names}:\n{shown}\ncheck the network and `npm config get "
        "registry`, or choose a revision whose package.json names published versions; nothing "
        "half-installed was kept"
    )
