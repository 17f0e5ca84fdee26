"""Network modules: layers, attention, position embeddings, heads, matching, and kernels."""
