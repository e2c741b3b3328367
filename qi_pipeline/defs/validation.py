"""`validated_patterns`: every pattern with the compiler's and the conventions' verdict."""

import dagster as dg
import pandas as pd

from qi_pipeline.defs.common import OWNERS, markdown_table, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.handles import PatternSet, ValidatedSet
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.stages import VALIDATION_VERSION

_PREVIEW_ROWS = 12


@dg.asset(
    group_name="patterns",
    kinds={"typescript"},
    owners=OWNERS,
    code_version=VALIDATION_VERSION,
)
def validated_patterns(
    context: dg.AssetExecutionContext,
    pipeline: PipelineResource,
    repo_snapshot: Snapshot,
    patterns: PatternSet,
) -> dg.MaterializeResult[ValidatedSet]:
    """Rows of `patterns` with verdicts; rejected rows stay, with their reasons."""
    outcome = pipeline.stages(context.log).validated_patterns(repo_snapshot, patterns)
    handle = outcome.handle
    rejected = [row for row in handle.read() if row.status == "rejected"]
    frame = pd.DataFrame(
        [
            {
                "source": row.pattern.metadata.source_file,
                "container": row.pattern.container,
                "why": "; ".join(row.reasons)[:200],
            }
            for row in rejected[:_PREVIEW_ROWS]
        ],
        columns=["source", "container", "why"],
    )
    return materialized(
        outcome,
        handle.data_version,
        str(handle.directory),
        {"rejected_preview": dg.MetadataValue.md(markdown_table(frame))},
    )


@dg.asset_check(asset=validated_patterns, blocking=True)
def kept_patterns_comply(validated_patterns: ValidatedSet) -> dg.AssetCheckResult:
    """Something was kept, and every kept row compiles and breaks no rule."""
    kept = [row for row in validated_patterns.read() if row.usable]
    broken = [row.pattern.id for row in kept if not row.verdict.complies]
    return dg.AssetCheckResult(
        passed=bool(kept) and not broken,
        description=f"{len(kept)} patterns were kept, {len(broken)} of them do not comply",
        metadata={"kept": len(kept), "non_compliant": broken},
    )
