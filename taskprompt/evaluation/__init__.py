"""What a model is worth: metrics on held-out sources, predictions for a video, and its cost."""
