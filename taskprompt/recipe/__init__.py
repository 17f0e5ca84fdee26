"""The recipe and its parts: reading yaml, checks between fields, the JSON schema, and building the model."""
