"""Label tables, written by labelers: files, tables, joins with a source, and quality flags of answers."""
