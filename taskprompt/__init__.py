"""taskprompt: multi-task prompts for video transformers."""
