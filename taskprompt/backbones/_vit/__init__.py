"""Helpers of the backbones over whole patches: vit, timesformer, motionformer."""
