"""Parts of the `folder` source: listing of clips, csv tables, label files and arrays."""
