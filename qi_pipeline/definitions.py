"""What Dagster loads; no logic."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Return every definition found in `qi_pipeline/defs`."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
