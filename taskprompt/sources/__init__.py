"""Sources: one file per kind, which reads one type of data set. Helpers are in _folder and _scenes."""
