"""Small wrong changes to a module: what a test suite has to notice.

Flows in: TypeScript modules. Flows out: the mutants of each, one change apart from it, by the
standard operators of StrykerJS (https://stryker-mutator.io/docs/mutation-testing-elements) and by
those of `changes`, which know the library. The tool runs inside the sandbox and runs no module.
Whether a mutant compiles and which tests notice it belongs to the caller; how the library's own
tests are judged belongs to `mutation`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.sandbox.bundle import HARNESS, Toolchain, batches, run_tool
from qi_pipeline.sandbox.changes import Change, library_changes
from qi_pipeline.sandbox.sandbox import Sandbox

_INSTRUMENTER = "@stryker-mutator/instrumenter"
_CHARACTERS_AT_ONCE = 1 << 18
"""Of texts that are mutated together; what the tool says of them is some ten times as long."""


@dataclass(frozen=True)
class Mutant:
    """One wrong change to a module."""

    operator: str
    """Name of the mutation operator."""
    line: int
    """1-based line where the change begins."""
    replacement: str
    """What stands there now."""
    original: str
    """What stood there."""
    module: str
    """The whole text of the changed module."""


def make_mutants(
    modules: Mapping[str, str],
    toolchain: Toolchain,
    sandbox: Sandbox,
    profile: Profile | None = None,
) -> dict[str, tuple[Mutant, ...]]:
    """Return the mutants of each module, by its name, in the order of their places.

    No two mutants of a module are equal and none equals the module; what it imports from where
    stays. Without a profile there are no mutants that know the library.

    Raises QiPipelineError when a module is no TypeScript or the tool does not work.
    """
    mutants: dict[str, tuple[Mutant, ...]] = {}
    plain = {name: text.removeprefix("\ufeff") for name, text in modules.items()}
    for batch in batches(plain, _CHARACTERS_AT_ONCE):
        for name, changes in _standard_changes(batch, toolchain, sandbox).items():
            text = batch[name]
            known = library_changes(text, profile) if profile is not None else ()
            mutants[name] = _distinct(text, [*changes, *known])
    return mutants


def _standard_changes(
    modules: Mapping[str, str], toolchain: Toolchain, sandbox: Sandbox
) -> dict[str, list[Change]]:
    script = HARNESS / "mutate.mjs"
    instrumenter = str(toolchain.package(_INSTRUMENTER).resolve())
    request = {"instrumenter": instrumenter, "modules": dict(modules)}
    outcome = run_tool(script, request, [toolchain.node_modules, script], sandbox)
    if not outcome.succeeded:
        raise QiPipelineError(
            f"the mutation tool of {toolchain.directory} {outcome.describe()} on "
            f"{', '.join(modules)}: {outcome.stderr.strip()[:500]}; install the toolchain again "
            f"(npm ci in {toolchain.directory})"
        )
    found = json.loads(outcome.stdout)
    for name, result in found.items():
        if "error" in result:
            raise QiPipelineError(
                f"{name} cannot be mutated: {result['error']}; it has to be a TypeScript module"
            )
    return {
        name: [Change(**change) for change in result["mutants"]] for name, result in found.items()
    }


def _distinct(text: str, changes: Iterable[Change]) -> tuple[Mutant, ...]:
    """Return the mutants of one text in order; of equal ones the first stays."""
    by_module: dict[str, Mutant] = {}
    for change in sorted(changes, key=lambda one: (one.start, one.end)):
        module = _changed(text, change)
        if module != text and module not in by_module:
            line = text.count("\n", 0, change.start) + 1
            original = text[change.start : change.end]
            by_module[module] = Mutant(change.operator, line, change.replacement, original, module)
    return tuple(by_module.values())


def _changed(text: str, change: Change) -> str:
    edits = [(change.start, change.end, change.replacement)]
    if change.insertion is not None:
        place, inserted = change.insertion
        edits.append((place, place, inserted))
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text
