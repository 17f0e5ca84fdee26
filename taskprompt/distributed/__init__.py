"""Many workers: collectives, sharding of weights, and the context that a job is given. torch.distributed only."""
