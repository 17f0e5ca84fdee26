"""Label tables, which labelers write: files, one table, joining to a source, and flags of bad answers."""
