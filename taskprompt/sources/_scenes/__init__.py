"""The parts of the `scenes` source: a plan is drawn from a seed, a world is built from it, frames are rendered."""
