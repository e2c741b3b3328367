"""From an answer's code and its verdict to a score.

Flows in: a task, the extracted code and the checker's `Verdict`. Flows out: a `TaskScore`; corpus
BLEU over many of them. What a convention is and whether code compiles are the checker's to say:
a prohibition that is also a rule is read from the verdict, never recomputed here.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from tree_sitter import Node

from qi_pipeline.evaluation.statistics import Figure
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

# mteval-v13a splits ASCII punctuation from words, so `map(f, r)` is six tokens; it is sacrebleu's
# default and the one that published scores name.
BLEU_TOKENIZER = "13a"
_RULE_OF: dict[Forbidden, str] = {
    "no_throw": "R7",
    "no_tag_access": "R1",
    "no_result_property_access": "R2",
    "no_any": "R12",
}
# Module has no such export (2305, 2614, 2724), module cannot be found (2307, 2792). Which of them
# is reported differs between compiler versions.
_IMPORT_ERRORS = frozenset((2305, 2307, 2614, 2724, 2792))
_NULL_WRAPPERS = frozenset(
    ("parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression")
)
# `export declare …` and overload signatures promise a value without giving one.
_WITHOUT_VALUE = frozenset(("ambient_declaration", "function_signature"))
_FIRST_SEMANTIC_CODE = 2000
_BLEU_ORDERS = 4


class TaskScore(BaseModel):
    """How one answer does on one task."""

    model_config = ConfigDict(frozen=True)

    parses: bool
    exports_entry_point: bool
    compiles: bool
    """It compiles and exports what was asked for (an empty module compiles too)."""
    adheres: bool
    """It parses, exports the entry point, breaks no rule, does nothing forbidden and uses the
    required API."""
    judged: bool
    """The rules could look at it: the checker neither refused it nor stopped at a syntax error."""
    rules: tuple[str, ...]
    """Ids of the rules of severity error that it breaks, sorted."""
    forbidden: tuple[Forbidden, ...]
    """What it does although the task forbids it."""
    missing_api: tuple[str, ...]
    """Required symbols it does not use; alternatives are joined by ` or `."""
    hallucinated_imports: int
    """Compiler errors that say an imported module or name does not exist."""
    bleu: Figure
    """Sentence BLEU against the reference, 0 to 100."""
    bleu_statistics: tuple[int, ...]
    """Matched 1- to 4-grams, total 1- to 4-grams, answer length, reference length."""

    @property
    def both(self) -> bool:
        """True when the answer compiles and adheres: the headline."""
        return self.compiles and self.adheres


def score_answer(task: Task, code: str, verdict: Verdict) -> TaskScore:
    """Score the code of one answer by its verdict."""
    module = parse_module(code)
    parses = syntax_error_line(module) is None
    exported = task.entry_point in exported_values(module)
    errors = (violation for violation in verdict.rules if violation.severity == "error")
    rules = tuple(sorted({violation.id for violation in errors}))
    forbidden = _forbidden_done(task, module, rules)
    missing = _missing_api(task, verdict)
    judged = _was_judged(verdict)
    bleu, statistics = _sentence_bleu(code, task.reference)
    return TaskScore(
        parses=parses,
        exports_entry_point=exported,
        compiles=verdict.compiles and exported,
        adheres=(parses and exported and judged and not (rules or forbidden or missing)),
        judged=judged,
        rules=rules,
        forbidden=forbidden,
        missing_api=missing,
        hallucinated_imports=sum(d.code in _IMPORT_ERRORS for d in verdict.diagnostics),
        bleu=bleu,
        bleu_statistics=statistics,
    )


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
