"""The folder of a run: locks, checkpoints, records, resuming, and copies in a storage."""
