"""`evaluation_report`: base, tuned and live model side by side, with the gate before release."""

import dagster as dg

from qi_pipeline.defs.common import OWNERS, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.evaluation.report import render_category_markdown, render_markdown
from qi_pipeline.handles import DatasetSet, Evaluation, Gguf, IndexState
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.stages import EVALUATION_VERSION


@dg.asset(
    group_name="evaluation",
    kinds={"typescript", "gguf"},
    owners=OWNERS,
    code_version=EVALUATION_VERSION,
)
def evaluation_report(
    context: dg.AssetExecutionContext,
    pipeline: PipelineResource,
    repo_snapshot: Snapshot,
    gguf_model: Gguf,
    pattern_index: IndexState,
    training_datasets: DatasetSet,
) -> dg.MaterializeResult[Evaluation]:
    """Adherence, compile rate, test pass rate and all three at once, of every arm on the suite."""
    outcome = pipeline.stages(context.log).evaluation_report(
        repo_snapshot, gguf_model, pattern_index, training_datasets
    )
    handle = outcome.handle
    report = handle.read()
    return materialized(
        outcome,
        handle.data_version,
        str(handle.directory),
        {
            "scores": dg.MetadataValue.md(render_markdown(report)),
            "scores_per_category": dg.MetadataValue.md(render_category_markdown(report)),
            "report": dg.MetadataValue.path(str(handle.directory / "report.html")),
        },
    )


@dg.asset_check(asset=evaluation_report, blocking=True)
def candidate_is_not_worse(
    context: dg.AssetCheckExecutionContext,
    pipeline: PipelineResource,
    evaluation_report: Evaluation,
) -> dg.AssetCheckResult:
    """The tuned model measured no worse than the live one (the base model, at first)."""
    stages = pipeline.stages(context.log)
    decision = stages.decide(evaluation_report)
    if not decision.release:
        # model_release does not run then; the refusal must be known all the same.
        stages.model_release(evaluation_report)
    return dg.AssetCheckResult(
        passed=decision.release,
        description=decision.reason,
        metadata={
            "reason": decision.reason,
            **{
                line.name: f"{'passed' if line.passed else 'FAILED'}: {line.figures}"
                for line in decision.lines
            },
        },
    )
