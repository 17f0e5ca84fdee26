"""Prompters: one file a kind, which says how the prompts of tasks come to be."""
