"""Parts of uniformerv2."""
