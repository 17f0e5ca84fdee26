"""Distributed training: collectives, sharding of weights, and the job's context. torch.distributed only."""
