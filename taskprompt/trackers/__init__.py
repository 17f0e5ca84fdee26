"""Trackers: one file per kind, which sends the events of a run to an external tool."""
