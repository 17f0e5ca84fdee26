"""Labelers: one file per kind, which makes labels with a model, offline."""
