"""The convention rules of a library.

Flows in: `Evidence` on one module. Flows out: `RuleViolation`s. The wording, the severities and the
facts (names, positions, categories) are the profile's; the conditions are in `rules_on_results`,
`rules_on_errors` and `rules_on_types`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qi_pipeline.validation import rules_on_errors, rules_on_results, rules_on_types
from qi_pipeline.validation.evidence import Evidence, Finding
from qi_pipeline.validation.references import References
from qi_pipeline.validation.syntax import ParsedModule
from qi_pipeline.validation.verdict import RuleViolation

_CHECKS: dict[str, Callable[[Evidence], Iterator[Finding]]] = {
    "R1": rules_on_results.tag_read,
    "R2": rules_on_results.payload_read,
    "R3": rules_on_results.destructured,
    "R4": rules_on_results.method_style,
    "R5": rules_on_results.handler_object,
    "R6": rules_on_results.async_function,
    "R7": rules_on_errors.throw,
    "R8": rules_on_errors.try_catch,
    "R9": rules_on_errors.unknown_category,
    "R10": rules_on_errors.made_without_factory,
    "R11": rules_on_results.not_unpacked,
    "R12": rules_on_types.any_type,
    "R13": rules_on_types.import_form,
}


@dataclass(frozen=True)
class Judgement:
    """Applies the rules to one module."""

    evidence: Evidence

    @property
    def references(self) -> References:
        """The module's names, resolved."""
        return self.evidence.references

    @property
    def module(self) -> ParsedModule:
        """The judged module."""
        return self.evidence.module

    def violations(self) -> tuple[RuleViolation, ...]:
        """Return every violation once, sorted by line and rule."""
        rules = self.evidence.profile.rules
        found = {
            RuleViolation(
                id=rule,
                line=self.module.line_of(node),
                message=_filled(rules[rule].message, fields),
                severity=rules[rule].severity,
            )
            for rule, check in _CHECKS.items()
            if rule in rules
            for node, fields in check(self.evidence)
        }
        return tuple(sorted(found, key=lambda item: (item.line, int(item.id[1:]), item.message)))


def _filled(message: str, fields: dict[str, str]) -> str:
    for name, value in fields.items():
        message = message.replace(f"{{{name}}}", value)
    return message
