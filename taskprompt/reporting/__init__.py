"""Reports: pages, tables and plots of runs, sweeps, comparisons and label tables."""
