"""Labelers: one file a kind."""
