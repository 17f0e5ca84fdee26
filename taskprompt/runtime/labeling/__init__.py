"""Labeling with Ray Data: the job, the actors that hold the model, and rendering of clips."""
