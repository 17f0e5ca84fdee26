"""Rows -> batches: the order of an epoch, readers, streams of a fixed quota, the feed of a training."""
