"""One name for a symbol through all its renames.

Flows in: the states of an evolution. Flows out: the same counts under present names. A layout move
changes nothing here, because symbols are `package:name` already.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from qi_pipeline.evolution.records import FileUsage, State
from qi_pipeline.extraction.exports import DeclarationKind


@dataclass(frozen=True)
class Step:
    """A state with its symbols under their present names."""

    state: State
    names: Mapping[str, str]
    """Name at this time to present name, where they differ."""

    @cached_property
    def exports(self) -> dict[str, DeclarationKind]:
        """What the library exports."""
        found = self.state.usage.exports
        return {self.names.get(symbol, symbol): kind for symbol, kind in found.items()}

    @cached_property
    def calls(self) -> Counter[tuple[str, str]]:
        """(symbol, source kind) to call sites."""
        return self._counted((file.kind, file.calls) for file in self._files)

    @cached_property
    def uses(self) -> Counter[tuple[str, str]]:
        """(symbol, source kind) to calls and other mentions."""
        mentions = self._counted((file.kind, file.references) for file in self._files)
        return self.calls + mentions

    @cached_property
    def violations(self) -> Counter[tuple[str, str]]:
        """(rule, source kind) to violations."""
        return self._counted((file.kind, file.violations) for file in self._files)

    @property
    def _files(self) -> Iterable[FileUsage]:
        return self.state.usage.files.values()

    def _counted(self, counts: Iterable[tuple[str, Mapping[str, int]]]) -> Counter[tuple[str, str]]:
        total: Counter[tuple[str, str]] = Counter()
        for kind, by_name in counts:
            for name, count in by_name.items():
                total[self.names.get(name, name), kind] += count
        return total


def trace(states: Sequence[State]) -> list[Step]:
    """Return the states with the names that their symbols have in the end."""
    steps: list[Step] = []
    names: dict[str, str] = {}
    for state in reversed(states):
        steps.append(Step(state, names))
        if state.renames:
            names = {
                **names,
                **{item.before: names.get(item.after, item.after) for item in state.renames},
            }
    return steps[::-1]
