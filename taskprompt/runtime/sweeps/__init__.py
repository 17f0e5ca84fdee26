"""Sweeps with Ray Tune: starting trials, the search that suggests them, and Tune's callbacks."""
