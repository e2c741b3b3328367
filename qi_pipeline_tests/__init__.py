"""The tests of qi_pipeline, one folder per package."""
