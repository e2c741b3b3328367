"""What assets are given at run time: the pipeline's stages, storage for handles, a terminal logger.

No stage logic belongs here.
"""

import logging
import sys
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel

from qi_pipeline.artefacts import write_json
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.settings import Settings
from qi_pipeline.stages import Pipeline


class PipelineResource(dg.ConfigurableResource[Pipeline]):
    """The stages, with the choices a run may make; unset ones come from `Settings`."""

    source: str | None = None
    revision: str | None = None
    preset: str | None = None
    base_model: str | None = None
    quantization: str | None = None

    def stages(self, log: logging.Logger) -> Pipeline:
        """Return the stages; their progress goes to `log`."""
        chosen = {
            name: value
            for name in ("source", "revision", "preset", "base_model", "quantization")
            if (value := getattr(self, name)) is not None
        }
        return Pipeline(Settings().model_copy(update=chosen), log.info)


def handle_path(asset: str) -> Path:
    """Return the file that holds the handle of the asset's latest materialization."""
    return Settings().data_dir / "assets" / f"{asset}.json"


class HandleIOManager(dg.ConfigurableIOManager):
    """Keeps each asset's handle (paths, versions, never the data) as one small JSON file."""

    def handle_output(self, context: dg.OutputContext, obj: BaseModel) -> None:
        """Replace the asset's handle in one step."""
        write_json(handle_path(context.asset_key.path[-1]), obj.model_dump(mode="json"))

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the upstream asset's handle.

        Raises QiPipelineError when the asset was never materialized or its folder was deleted.
        """
        asset = context.asset_key.path[-1]
        path = handle_path(asset)
        if not path.is_file():
            raise QiPipelineError(
                f"asset {asset!r} was never materialized in {path.parent.parent}; materialize it "
                "first (job full_refresh, or `qi run`)"
            )
        model = context.dagster_type.typing_type
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"the input for asset {asset!r} is not annotated with its handle type")
        handle = model.model_validate_json(path.read_text("utf-8"))
        for name in ("directory", "root"):
            folder = getattr(handle, name, None)
            if isinstance(folder, Path) and not folder.is_dir():
                raise QiPipelineError(
                    f"{folder}, which asset {asset!r} made, is gone; materialize {asset!r} again"
                )
        return handle


@dg.logger({}, description="Bare messages of level INFO and above on standard output.")
def terminal_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    """Log what a person at a terminal wants: what is being done, without Dagster's event stream."""
    logger = logging.Logger("qi", level=logging.INFO)  # noqa: LOG001 - one logger per run, no global
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_TerminalFormatter())
    logger.addHandler(handler)
    return logger


class _TerminalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", None) or {}
        step = meta.get("step_key") or "run"
        message = meta.get("orig_message") or record.getMessage()
        return f"  {step:<20} {message}"


@dg.definitions
def resources() -> dg.Definitions:
    """Return the resources every asset and sensor may ask for."""
    return dg.Definitions(
        resources={
            "pipeline": PipelineResource(),
            "io_manager": HandleIOManager(),
            "pipes_client": dg.PipesSubprocessClient(),
        },
        loggers={"terminal": terminal_logger},
    )
