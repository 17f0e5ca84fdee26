"""Backbones: one file a kind, a spec and its encoder. Helpers and layouts of checkpoints are in folders beside them."""
