"""`lora_adapter`: training in its own process, reported through Pipes."""

import math
from pathlib import Path

import dagster as dg

from qi_pipeline.defs.common import OWNERS, markdown_picture, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.handles import Adapter, DatasetSet
from qi_pipeline.model_stages import TRAINING_VERSION
from qi_pipeline.training.run import training_command


@dg.asset(
    group_name="model",
    kinds={"pytorch", "huggingface"},
    owners=OWNERS,
    code_version=TRAINING_VERSION,
    pool="training",
)
def lora_adapter(
    context: dg.AssetExecutionContext,
    pipeline: PipelineResource,
    pipes_client: dg.PipesSubprocessClient,
    training_datasets: DatasetSet,
) -> dg.MaterializeResult[Adapter]:
    """A PEFT adapter trained on completions only, with its log and label preview."""
    stages = pipeline.stages(context.log)

    def train_through_pipes(spec: Path) -> None:
        try:
            pipes_client.run(
                context=context,
                command=training_command(spec, stages.settings.training_python),
            )
        except Exception as error:  # Dagster exports no name for the process's failure
            raise QiPipelineError(
                "the training process failed; its own message stands right above in this log"
            ) from error

    outcome = stages.lora_adapter(training_datasets, train_through_pipes)
    handle = outcome.handle
    curve = (handle.directory / "loss.png").read_bytes()
    return materialized(
        outcome,
        handle.data_version,
        str(handle.directory),
        {"loss_curve": markdown_picture("loss", curve)},
    )


@dg.asset_check(asset=lora_adapter, blocking=True)
def training_converged(lora_adapter: Adapter) -> dg.AssetCheckResult:
    """The loss on held-out samples is finite and lower than before training."""
    record = lora_adapter.record()
    first, last = float(record["first_validation_loss"]), float(record["final_validation_loss"])
    return dg.AssetCheckResult(
        passed=math.isfinite(first) and math.isfinite(last) and last < first,
        description=f"validation loss {first:.4f} before training, {last:.4f} after",
        metadata={"first_validation_loss": first, "final_validation_loss": last},
    )
