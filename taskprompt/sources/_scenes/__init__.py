"""Parts of the `scenes` source: a plan is sampled from a seed, a world is built from it, frames are rendered."""
