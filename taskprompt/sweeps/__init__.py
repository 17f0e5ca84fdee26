"""The folder of a sweep: search space, journal of trials, and checks before it starts."""
