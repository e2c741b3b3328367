"""`gguf_model`: the tuned model as one file that llama.cpp and Ollama load."""

import dagster as dg

from qi_pipeline.defs.common import OWNERS, materialized
from qi_pipeline.defs.resources import PipelineResource
from qi_pipeline.handles import Adapter, Gguf
from qi_pipeline.model_stages import EXPORT_VERSION


@dg.asset(group_name="model", kinds={"gguf"}, owners=OWNERS, code_version=EXPORT_VERSION)
def gguf_model(
    context: dg.AssetExecutionContext, pipeline: PipelineResource, lora_adapter: Adapter
) -> dg.MaterializeResult[Gguf]:
    """`qi-expert.gguf` and its Modelfile; counted as made only after it answered a question."""
    outcome = pipeline.stages(context.log).gguf_model(lora_adapter)
    handle = outcome.handle
    modelfile = (handle.directory / "Modelfile").read_text("utf-8")
    return materialized(
        outcome,
        handle.data_version,
        str(handle.directory),
        {"modelfile": dg.MetadataValue.md(f"```\n{modelfile}\n```")},
    )


@dg.asset_check(asset=gguf_model, blocking=True)
def gguf_file_is_intact(gguf_model: Gguf) -> dg.AssetCheckResult:
    """The file on disk is the one that was tested."""
    found = gguf_model.digest()
    return dg.AssetCheckResult(
        passed=found == gguf_model.data_version,
        description=f"SHA-256 on disk {found[:12]}, when tested {gguf_model.data_version[:12]}",
        metadata={"sha256": found},
    )
