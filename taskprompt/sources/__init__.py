"""Sources: one file a kind, which reads one form of data set. Helpers are in _folder and _scenes."""
