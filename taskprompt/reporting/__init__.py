"""Pages, tables and pictures of runs, sweeps, comparisons and label tables."""
