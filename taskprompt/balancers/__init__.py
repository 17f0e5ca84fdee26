"""Balancers: one file a kind, which joins the losses of tasks into one step."""
