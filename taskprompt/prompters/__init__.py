"""Prompters: one file per kind, which computes the prompts of tasks."""
