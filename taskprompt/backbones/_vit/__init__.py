"""Helpers of the plain vision transformers: vit, timesformer, motionformer."""
