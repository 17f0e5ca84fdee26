"""The folder of a sweep: what varies, the journal of its trials, and what is wrong with it before it starts."""
