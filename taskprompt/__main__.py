"""`python -m taskprompt` is the command `taskprompt`."""

from taskprompt.cli import main

if __name__ == "__main__":
    main()
