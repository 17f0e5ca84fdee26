"""Parts of `mvit`: its block, its sizes, and the layouts of its checkpoints."""
