"""`model_release`: which model is live."""

import dagster as dg

from qi_pipeline.defs.common import OWNERS, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.handles import Evaluation
from qi_pipeline.release import Release, broken_models
from qi_pipeline.stages import EVALUATION_VERSION


@dg.asset(group_name="release", kinds={"gguf"}, owners=OWNERS, code_version=EVALUATION_VERSION)
def model_release(
    context: dg.AssetExecutionContext,
    pipeline: PipelineResource,
    evaluation_report: Evaluation,
) -> dg.MaterializeResult[Release]:
    """The release pointer; it moves only to a candidate that measured no worse."""
    stages = pipeline.stages(context.log)
    outcome = stages.model_release(evaluation_report)
    return materialized(outcome, outcome.handle.data_version, str(stages.release_pointer))


@dg.asset_check(asset=model_release)
def released_models_are_intact(model_release: Release) -> dg.AssetCheckResult:
    """Every file that the pointer names is the file that was measured, the ways back included."""
    broken = broken_models(model_release)
    return dg.AssetCheckResult(
        passed=not broken,
        description="; ".join(f"{name}: {problem}" for name, problem in broken.items())
        or "All files are those that were measured.",
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=broken or {"models": "all intact"},
    )
