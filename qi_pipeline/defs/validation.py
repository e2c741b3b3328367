"""`validated_patterns`: every pattern with the compiler's and the conventions' verdict."""

from collections.abc import Iterable
from itertools import islice

import dagster as dg
import pandas as pd

from qi_pipeline.defs.common import OWNERS, markdown_picture, markdown_table, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.handles import PatternSet, ValidatedSet
from qi_pipeline.recognition.agreement import confusion_table
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.validation.verdict import VALIDATION_VERSION, ValidatedPattern

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
    rows = handle.read()
    return materialized(
        outcome,
        handle.data_version,
        str(handle.directory),
        {
            "in_review": _preview(row for row in rows if row.status == "review"),
            "rejected_preview": _preview(row for row in rows if row.status == "rejected"),
            "map": markdown_picture("map of the patterns", handle.map.read_bytes()),
            "type_confusion": markdown_picture("confusion", handle.confusion.read_bytes()),
            "type_confusion_table": dg.MetadataValue.md(
                confusion_table(handle.recognition().agreement)
            ),
        },
    )


def _preview(rows: Iterable[ValidatedPattern]) -> dg.MarkdownMetadataValue:
    frame = pd.DataFrame(
        [
            {
                "id": row.pattern.id,
                "source": row.pattern.metadata.source_file,
                "container": row.pattern.container,
                "why": "; ".join(row.reasons)[:200],
            }
            for row in islice(rows, _PREVIEW_ROWS)
        ],
        columns=["id", "source", "container", "why"],
    )
    return dg.MetadataValue.md(markdown_table(frame))


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
