"""From an answer's code, its verdict and its tests to a score.

Flows in: a task, the extracted code, the checker's `Verdict` and the sandbox's `TestResult`. Flows
out: a `TaskScore`; corpus BLEU over many of them. What a convention is and whether code compiles
are the checker's to say: a prohibition that is also a rule is read from the verdict, never
recomputed here.
"""

import math
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from tree_sitter import Node

from qi_pipeline.evaluation.hallucinations import hallucinated_symbols
from qi_pipeline.evaluation.records import TaskScore, TestResult
from qi_pipeline.evaluation.tasks import Forbidden, Task
from qi_pipeline.extraction.exports import declared_names
from qi_pipeline.extraction.syntax import (
    Module,
    parse_module,
    string_value,
    syntax_error_line,
    text_of,
    walk,
)
from qi_pipeline.validation.verdict import Diagnostic, Verdict

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

# mteval-v13a splits ASCII punctuation from words, so `map(f, r)` is six tokens; it is sacrebleu's
# default and the one that published scores name.
BLEU_TOKENIZER = "13a"
_RULE_OF: dict[Forbidden, str] = {
    "no_throw": "R7",
    "no_tag_access": "R1",
    "no_result_property_access": "R2",
    "no_any": "R12",
}
_NULL_WRAPPERS = frozenset(
    ("parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression")
)
# `export declare …` and overload signatures promise a value without giving one.
_WITHOUT_VALUE = frozenset(("ambient_declaration", "function_signature"))
_FIRST_SEMANTIC_CODE = 2000
_BLEU_ORDERS = 4
_FAILURE_LENGTH = 200


def score_answer(
    task: Task,
    code: str,
    verdict: Verdict,
    test: TestResult,
    payload_members: Collection[str],
) -> TaskScore:
    """Score the code of one answer by its verdict and its tests.

    payload_members: names of the members that only one variant of a Result has.

    A task in general TypeScript (no pattern type) asks for no convention: rules are not counted
    there.
    """
    module = parse_module(code)
    parses = syntax_error_line(module) is None
    exported = task.entry_point in exported_values(module)
    errors = (violation for violation in verdict.rules if violation.severity == "error")
    asked = task.pattern_type is not None
    rules = tuple(sorted({violation.id for violation in errors})) if asked else ()
    forbidden = _forbidden_done(task, module, rules)
    missing = _missing_api(task, verdict)
    judged = _was_judged(verdict)
    bleu, statistics = _sentence_bleu(code, task.reference)
    return TaskScore(
        parses=parses,
        exports_entry_point=exported,
        compiles=verdict.compiles and exported,
        adheres=(parses and exported and judged and not (rules or forbidden or missing)),
        tests_passed=test.passed,
        judged=judged,
        rules=rules,
        forbidden=forbidden,
        missing_api=missing,
        hallucinated=hallucinated_symbols(verdict, payload_members),
        lines=_code_lines(module),
        bleu=bleu,
        bleu_statistics=statistics,
        chrf=_sentence_chrf(code, task.reference),
    )


def _code_lines(module: Module) -> int:
    """Return the number of lines that hold anything but blanks and comments."""
    lines: set[int] = set()
    for node in walk(module.root):
        if node.type == "comment" or node.child_count:
            continue
        lines.update(range(node.start_point.row, node.end_point.row + 1))
    return len(lines)


def _was_judged(verdict: Verdict) -> bool:
    """Tell whether the checker looked at conventions at all.

    It does not where it cannot read the module: one it refuses (own codes, below 1000) or one with
    syntax errors (compiler codes 1000 to 1999). No broken rule then means nothing.
    """
    readable = all(diagnostic.code >= _FIRST_SEMANTIC_CODE for diagnostic in verdict.diagnostics)
    return readable or bool(verdict.rules or verdict.symbols)


def exported_values(module: Module) -> frozenset[str]:
    """Return the names of the values (functions, classes, constants, enums) a module exports."""
    names: set[str] = set()
    for statement in module.root.named_children:
        if statement.type != "export_statement":
            continue
        declaration = statement.child_by_field_name("declaration")
        if declaration is not None and declaration.type in _WITHOUT_VALUE:
            continue
        if any(child.type == "default" for child in statement.children):
            continue
        names.update(name for name, kind, _ in declared_names(statement) if kind != "type")
        names.update(_clause_names(statement))
    return frozenset(names)


def _clause_names(statement: Node) -> Iterable[str]:
    """Return the names of `export { a, b as c }`; `export type { … }` exports no value."""
    if any(child.type == "type" for child in statement.children):
        return
    for clause in statement.named_children:
        if clause.type != "export_clause":
            continue
        for item in clause.named_children:
            name = item.child_by_field_name("alias") or item.child_by_field_name("name")
            if name is not None and not any(child.type == "type" for child in item.children):
                yield string_value(name) or text_of(name)


def _forbidden_done(task: Task, module: Module, rules: tuple[str, ...]) -> tuple[Forbidden, ...]:
    done: dict[Forbidden, bool] = {name: rule in rules for name, rule in _RULE_OF.items()}
    nodes = list(walk(module.root))
    done["no_try_catch"] = any(node.type == "try_statement" for node in nodes)
    done["no_null_return"] = any(_returns_null(node) for node in nodes)
    return tuple(name for name in task.forbidden if done[name])


def _returns_null(node: Node) -> bool:
    """Tell whether the node is `return null` or an arrow function whose expression is null."""
    if node.type == "return_statement":
        return any(_is_null(child) for child in node.named_children)
    if node.type == "arrow_function":
        return _is_null(node.child_by_field_name("body"))
    return False


def _is_null(node: Node | None) -> bool:
    """Tell whether the expression is null or may become the literal null."""
    if node is None:
        return False
    if node.type == "null":
        return True
    if node.type in _NULL_WRAPPERS:
        return bool(node.named_children) and _is_null(node.named_children[0])
    if node.type == "ternary_expression":
        branches = ("consequence", "alternative")
        return any(_is_null(node.child_by_field_name(branch)) for branch in branches)
    if node.type == "binary_expression":
        operator = node.child_by_field_name("operator")
        return (
            operator is not None
            and operator.type in ("??", "||", "&&")
            and _is_null(node.child_by_field_name("right"))
        )
    return False


def _missing_api(task: Task, verdict: Verdict) -> tuple[str, ...]:
    used = {symbol.rsplit(":", 1)[-1] for symbol in verdict.symbols}
    missing = [name for name in task.required_api.all if name not in used]
    alternatives = task.required_api.any
    if alternatives and used.isdisjoint(alternatives):
        missing.append(" or ".join(alternatives))
    return tuple(missing)


def describe_failure(score: TaskScore, verdict: Verdict, test: TestResult) -> str:
    """Say in a few words why an answer does not pass; empty when it does."""
    reasons: list[str] = []
    if not score.parses:
        reasons.append("does not parse")
    if not score.exports_entry_point:
        reasons.append("does not export the entry point")
    if not verdict.compiles:
        names = sorted({diagnostic_name(diagnostic) for diagnostic in verdict.diagnostics})
        reasons.append(f"does not compile: {', '.join(names)}")
    if not score.judged:
        reasons.append("cannot be read by the rules")
    if score.rules:
        reasons.append(f"breaks {', '.join(score.rules)}")
    if score.forbidden:
        reasons.append(f"violates {', '.join(score.forbidden)}")
    if score.missing_api:
        reasons.append(f"does not use {', '.join(score.missing_api)}")
    if not test.passed:
        failure = " ".join(test.failures[0].split())[:_FAILURE_LENGTH] if test.failures else ""
        reasons.append(f"tests {test.status.replace('_', ' ')}: {failure}".removesuffix(": "))
    return "; ".join(reasons)


def diagnostic_name(diagnostic: Diagnostic) -> str:
    """Return `TS2304` for a compiler code, `not admitted` for the checker's own findings."""
    return f"TS{diagnostic.code}" if diagnostic.code else "not admitted"


@lru_cache(maxsize=1)
def _bleu_metric() -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415

    # `force` silences a warning about tokenized input, which code always looks like.
    return BLEU(tokenize=BLEU_TOKENIZER, effective_order=True, force=True)


def _sentence_bleu(code: str, reference: str) -> tuple[float, tuple[int, ...]]:
    """Return sentence BLEU and its sufficient statistics, both texts whitespace-normalized."""
    score = _bleu_metric().sentence_score(" ".join(code.split()), [" ".join(reference.split())])
    return float(score.score), (*score.counts, *score.totals, score.sys_len, score.ref_len)


@lru_cache(maxsize=1)
def _chrf_metric() -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415

    return CHRF()


def _sentence_chrf(code: str, reference: str) -> float:
    """Return sacrebleu's chrF2 (character 6-grams, beta 2; white space never counts)."""
    return float(_chrf_metric().sentence_score(code, [reference]).score)


def corpus_bleu(scores: Iterable[TaskScore]) -> float:
    """Return corpus BLEU (0 to 100) from the answers' statistics; NaN for no answers.

    Equals `sacrebleu.corpus_bleu` with the 13a tokenizer and exponential smoothing.
    """
    return bleu_of_statistics([score.bleu_statistics for score in scores])


def bleu_of_statistics(statistics: list[tuple[int, ...]]) -> float:
    """Return corpus BLEU (0 to 100) of summed per-answer statistics; NaN for none."""
    if not statistics:
        return math.nan
    sums = [sum(column) for column in zip(*statistics, strict=True)]
    score = _bleu_metric().compute_bleu(
        correct=sums[:_BLEU_ORDERS],
        total=sums[_BLEU_ORDERS : 2 * _BLEU_ORDERS],
        sys_len=sums[-2],
        ref_len=sums[-1],
        smooth_method="exp",
    )
    return float(score.score)
