"""Core: interfaces, records, errors, metrics, and atomic file writes.

It imports nothing else of taskprompt, and kinds may import all of it."""
