"""`model_release`: which model is live."""

import dagster as dg

from qi_pipeline.defs.common import OWNERS, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.handles import Evaluation, Release
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
