"""Tasks: one file per kind, with one Task. Names of helper modules begin with an underscore."""
