"""`taskprompt bench`: alternatives compared within one run."""
