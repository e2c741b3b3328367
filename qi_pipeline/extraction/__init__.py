"""Snapshot to `Pattern` rows: syntax, import bindings, calls, classification, instructions."""
