"""Tasks: one file a kind, which is one Task. Helpers begin with an underscore."""
