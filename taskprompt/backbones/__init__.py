"""Backbones: one file per kind, with a spec and its encoder. Helpers and checkpoint layouts are in subfolders."""
