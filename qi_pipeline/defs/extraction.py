"""`patterns`: what the snapshot's code and documents show of the library's use."""

import dagster as dg
import pandas as pd

from qi_pipeline.data_stages import EXTRACTION_VERSION
from qi_pipeline.defs.common import OWNERS, markdown_table, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.handles import PatternSet
from qi_pipeline.source.snapshot import Snapshot

_PREVIEW_ROWS = 12


@dg.asset(
    group_name="patterns",
    kinds={"typescript", "treesitter"},
    owners=OWNERS,
    code_version=EXTRACTION_VERSION,
)
def patterns(
    context: dg.AssetExecutionContext, pipeline: PipelineResource, repo_snapshot: Snapshot
) -> dg.MaterializeResult[PatternSet]:
    """One row per pattern: a complete module with its instruction, labels and provenance."""
    outcome = pipeline.stages(context.log).patterns(repo_snapshot)
    handle = outcome.handle
    frame = pd.DataFrame(
        [
            {
                "type": row.type,
                "category": row.category,
                "source": row.metadata.source_file,
                "instruction": row.instruction[:120],
            }
            for row in handle.read()[:_PREVIEW_ROWS]
        ]
    )
    return materialized(
        outcome,
        handle.data_version,
        str(handle.directory),
        {"preview": dg.MetadataValue.md(markdown_table(frame))},
    )


@dg.asset_check(asset=patterns, blocking=True)
def patterns_were_found(patterns: PatternSet) -> dg.AssetCheckResult:
    """The snapshot yields at least one pattern."""
    count = len(patterns.read())
    return dg.AssetCheckResult(
        passed=count > 0,
        description=f"{count} patterns were found",
        metadata={"patterns": count},
    )
