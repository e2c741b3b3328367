"""`pattern_index`: the kept patterns in Chroma, for search and retrieval."""

import dagster as dg

from qi_pipeline.data_stages import DATASETS_VERSION
from qi_pipeline.defs.common import OWNERS, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.handles import IndexState, ValidatedSet


@dg.asset(group_name="datasets", kinds={"chroma"}, owners=OWNERS, code_version=DATASETS_VERSION)
def pattern_index(
    context: dg.AssetExecutionContext,
    pipeline: PipelineResource,
    validated_patterns: ValidatedSet,
) -> dg.MaterializeResult[IndexState]:
    """The Chroma collection `qi_patterns`, embedded by a local MiniLM."""
    outcome = pipeline.stages(context.log).pattern_index(validated_patterns)
    return materialized(outcome, outcome.handle.data_version, outcome.handle.location)
