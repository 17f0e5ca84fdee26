"""`check`: all errors in a recipe, its model and its data, before anything starts."""
