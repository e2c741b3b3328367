"""`pattern_evolution`: how the use of the library changed over its history."""

import dagster as dg
import pandas as pd

from qi_pipeline.data_stages import EVOLUTION_VERSION
from qi_pipeline.defs.common import OWNERS, markdown_picture, markdown_table, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.evolution.text import render_evolution
from qi_pipeline.handles import EvolutionSet
from qi_pipeline.source.snapshot import Snapshot


@dg.asset(
    group_name="patterns",
    kinds={"typescript", "git"},
    owners=OWNERS,
    code_version=EVOLUTION_VERSION,
)
def pattern_evolution(
    context: dg.AssetExecutionContext, pipeline: PipelineResource, repo_snapshot: Snapshot
) -> dg.MaterializeResult[EvolutionSet]:
    """Usage of symbols and types and rule violations per commit, trends, gaps and advice."""
    outcome = pipeline.stages(context.log).pattern_evolution(repo_snapshot)
    handle = outcome.handle
    report = handle.read()
    advice = pd.DataFrame(
        [{"what": item.subject, "do": item.text} for item in report.recommendations],
        columns=["what", "do"],
    )
    return materialized(
        outcome,
        handle.data_version,
        str(handle.directory),
        {
            "trends": markdown_picture("trends", handle.plot.read_bytes()),
            "advice": dg.MetadataValue.md(markdown_table(advice)),
            "report": dg.MetadataValue.md(f"```\n{render_evolution(report)}\n```"),
        },
    )
