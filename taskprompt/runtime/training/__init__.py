"""Jobs on the workers of a cluster with Ray Train, and the streams of clips for them."""
