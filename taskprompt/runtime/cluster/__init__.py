"""Reaching or starting a cluster: what it must give, its growth, its ports, and what goes wrong on it."""
