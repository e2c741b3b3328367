"""The Dagster layer: assets, their checks, automation and resources; the work is done elsewhere."""
