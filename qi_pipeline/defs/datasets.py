"""`training_datasets`: what the model will read, in every format, with the gate before training."""

import dagster as dg

from qi_pipeline.data_stages import DATASETS_VERSION
from qi_pipeline.defs.common import OWNERS, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.handles import DatasetSet, ValidatedSet
from qi_pipeline.source.snapshot import Snapshot


@dg.asset(
    group_name="datasets",
    kinds={"huggingface", "parquet"},
    owners=OWNERS,
    code_version=DATASETS_VERSION,
)
def training_datasets(
    context: dg.AssetExecutionContext,
    pipeline: PipelineResource,
    repo_snapshot: Snapshot,
    validated_patterns: ValidatedSet,
) -> dg.MaterializeResult[DatasetSet]:
    """JSONL, Alpaca, conversations and prompt-completion parquet, split by group."""
    outcome = pipeline.stages(context.log).training_datasets(repo_snapshot, validated_patterns)
    handle = outcome.handle
    card = (handle.directory / "README.md").read_text("utf-8")
    return materialized(
        outcome,
        handle.data_version,
        str(handle.directory),
        {"dataset_card": dg.MetadataValue.md(card)},
    )


@dg.asset_check(asset=training_datasets, blocking=True)
def datasets_are_trainable(training_datasets: DatasetSet) -> dg.AssetCheckResult:
    """Both splits hold samples and no group stands in both."""
    try:
        return dg.AssetCheckResult(passed=True, description=training_datasets.require_trainable())
    except QiPipelineError as error:
        return dg.AssetCheckResult(passed=False, description=str(error))
