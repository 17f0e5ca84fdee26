"""What a yaml file says: the recipe and its parts, reading, checks between its fields, the JSON schema, its model."""
