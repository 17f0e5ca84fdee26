"""The training job: the loop, losses, optimizers, averaged weights, and the cache of frozen features."""
