"""Parts of neural networks: layers, attention, positions, heads, matching, and kernels for them."""
