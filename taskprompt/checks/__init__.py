"""`check`: everything that is wrong with a recipe, its model and its data, before anything starts."""
