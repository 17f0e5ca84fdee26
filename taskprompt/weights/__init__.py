"""Pretrained checkpoints: safe reading, matching with an encoder, and strict loading."""
