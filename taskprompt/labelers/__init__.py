"""Labelers: one file a kind, which makes labels with a model, offline."""
