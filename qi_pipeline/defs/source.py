"""`repo_snapshot`: what upstream looks like at one commit."""

import dagster as dg

from qi_pipeline.defs.common import OWNERS, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.source.snapshot import Snapshot


@dg.asset(group_name="source", kinds={"git"}, owners=OWNERS, code_version="1")
def repo_snapshot(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Snapshot]:
    """One commit's relevant files as an immutable, content-addressed copy.

    The data version is the hash of the relevant tree, not the commit: a commit that touches
    nothing relevant changes nothing downstream.
    """
    outcome = pipeline.stages(context.log).repo_snapshot()
    snapshot = outcome.handle
    return materialized(
        outcome, snapshot.tree_hash, str(snapshot.root), {"source": snapshot.source}
    )
