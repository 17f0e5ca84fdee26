"""Ray: the only folder that imports it; cluster/_ray_private alone names private modules of it."""
