"""TypeScript made executable without executing it.

Flows in: a `LibraryWorkspace`; texts of modules. Flows out: one JavaScript file of the library and
its npm packages, made once and cached by content; the modules' JavaScript, or why a text is none.
Both are esbuild's work, done inside the sandbox because it reads untrusted text. Running what
comes out belongs to `modules`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_pipeline.artefacts import build_directory, content_hash, file_hash, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.sandbox.limits import SUITE_LIMITS
from qi_pipeline.sandbox.sandbox import SCRATCH, Sandbox, find_node
from qi_pipeline.sandbox.supervisor import ProcessOutcome
from qi_pipeline.validation.workspace import LibraryWorkspace

HARNESS = Path(__file__).with_name("harness")
_LIBRARY = "library.cjs"
# Packages without code, and test runners: no module under test imports them.
_NEVER_IMPORTED = ("@types/", "vitest", "@vitest/", "fast-check", "@fast-check/")


@dataclass(frozen=True)
class Transpiled:
    """The JavaScript of one TypeScript module, or why there is none."""

    code: str | None
    error: str | None


@dataclass(frozen=True)
class Toolchain:
    """The pinned tools: vitest, and the esbuild that it brings along."""

    directory: Path
    """Folder whose node_modules hold the toolchain."""

    @property
    def node_modules(self) -> Path:
        """Return the folder of the installed packages."""
        return self.directory / "node_modules"

    def package(self, name: str) -> Path:
        """Return the folder of one package; QiPipelineError when it is not installed."""
        package = self.node_modules / name
        if not package.is_dir():
            raise QiPipelineError(
                f"{package} is missing; install the toolchain (npm ci in {self.directory})"
            )
        return package


def bundle_library(
    workspace: LibraryWorkspace, toolchain: Toolchain, cache_dir: Path, sandbox: Sandbox
) -> Path:
    """Return the file that holds the library and its npm packages for Node.js.

    Raises QiPipelineError with esbuild's messages when the library's sources cannot be bundled.
    """
    script = HARNESS / "bundle.mjs"
    packages = [name for name in workspace.requirements if not name.startswith(_NEVER_IMPORTED)]
    key = content_hash(
        {
            "library": workspace.root.name,
            "packages": workspace.requirements,
            "esbuild": file_hash(toolchain.package("esbuild") / "package.json"),
            "script": file_hash(script),
        }
    )
    request = {
        "esbuild": str(toolchain.package("esbuild").resolve()),
        "root": str(workspace.root.resolve()),
        "entries": {
            specifier: str(Path(targets[0]).resolve())
            for specifier, targets in workspace.paths.items()
            if not specifier.endswith("/*")
        },
        "packages": packages,
    }

    def build(folder: Path) -> None:
        readable = [workspace.root, workspace.node_modules, toolchain.node_modules, script]
        outcome = run_tool(script, request, readable, sandbox)
        if not outcome.succeeded:
            raise QiPipelineError(
                f"the library at {workspace.root} cannot be bundled for running tests:\n"
                f"{outcome.stderr.strip()[:2000]}\nchoose another revision"
            )
        write_text(folder / _LIBRARY, json.loads(outcome.stdout)["code"])

    return build_directory(cache_dir / "bundles" / key, build) / _LIBRARY


def transpile(
    modules: Mapping[str, str], toolchain: Toolchain, sandbox: Sandbox
) -> dict[str, Transpiled]:
    """Return the JavaScript of every module, by its name; no module's text affects another's.

    A text that brings the transpiler down is found by halving and reported as its own error.

    Raises QiPipelineError when the transpiler fails on a trivial text as well.
    """
    if not modules:
        return {}
    script = HARNESS / "transpile.mjs"
    outcome = _run_transpiler(script, modules, toolchain, sandbox)
    if outcome.succeeded:
        found: dict[str, dict[str, str]] = json.loads(outcome.stdout)
        return {
            name: Transpiled(result.get("code"), result.get("error"))
            for name, result in found.items()
        }
    if len(modules) == 1:
        (name,) = modules
        _require_transpiler(script, toolchain, sandbox)
        reason = f"the transpiler {outcome.ending.replace('_', ' ')} on this text"
        return {name: Transpiled(None, f"{reason}: {outcome.stderr.strip()[:500]}")}
    names = list(modules)
    halves = (names[: len(names) // 2], names[len(names) // 2 :])
    return {
        name: result
        for half in halves
        for name, result in transpile(
            {name: modules[name] for name in half}, toolchain, sandbox
        ).items()
    }


def _run_transpiler(
    script: Path, modules: Mapping[str, str], toolchain: Toolchain, sandbox: Sandbox
) -> ProcessOutcome:
    request = {"esbuild": str(toolchain.package("esbuild").resolve()), "modules": dict(modules)}
    return run_tool(script, request, [toolchain.node_modules, script], sandbox)


def _require_transpiler(script: Path, toolchain: Toolchain, sandbox: Sandbox) -> None:
    outcome = _run_transpiler(script, {"trivial": "export {};"}, toolchain, sandbox)
    if not outcome.succeeded:
        raise QiPipelineError(
            f"the transpiler of {toolchain.directory} {outcome.describe()} on a text of one line: "
            f"{outcome.stderr.strip()[:500]}; install the toolchain again (npm ci in "
            f"{toolchain.directory})"
        )


def batches(named: Mapping[str, str], characters: int) -> Iterator[dict[str, str]]:
    """Yield texts by name in portions of at most so many characters; a longer text goes alone."""
    batch: dict[str, str] = {}
    for name, text in named.items():
        if batch and sum(map(len, batch.values())) + len(text) > characters:
            yield batch
            batch = {}
        batch[name] = text
    if batch:
        yield batch


def run_tool(
    script: Path, request: dict[str, Any], readable: list[Path], sandbox: Sandbox
) -> ProcessOutcome:
    """Run one of the harness's scripts with Node.js in the sandbox; it reads `request` as JSON."""
    return sandbox.run(
        [find_node(), "--max-old-space-size=1024", str(script.resolve())],
        readable=readable,
        directory=SCRATCH,
        limits=SUITE_LIMITS,
        stdin=json.dumps(request).encode(),
    )
