"""Ray: the only folder that imports it, besides benchmarks of it."""
