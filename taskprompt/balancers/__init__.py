"""Balancers: one file per kind, which combines the losses of tasks into one step."""
