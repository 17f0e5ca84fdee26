"""Everything that uses Ray; no other package imports it. Only cluster/_ray_private uses Ray's private modules."""
