"""Evaluation: metrics on held-out sources, predictions for a video, and the model's cost."""
