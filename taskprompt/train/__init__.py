"""One process, no Ray: data, the loop, checkpoints, evaluation."""
