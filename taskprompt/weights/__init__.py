"""Checkpoints of other code bases: read safely, matched with an encoder, loaded whole or refused."""
