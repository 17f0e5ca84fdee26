"""The vocabulary: interfaces, records, errors, metrics, files written whole or not at all.

It imports nothing else of taskprompt, and kinds may import all of it."""
