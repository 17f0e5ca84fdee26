"""Trackers: one file a kind, which gets the events of a run and shows them elsewhere."""
