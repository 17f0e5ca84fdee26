"""The folder of a run: locks, checkpoints, records, resuming, and remote storage."""
