"""`taskprompt bench`: ways of doing one thing, compared in one run."""
