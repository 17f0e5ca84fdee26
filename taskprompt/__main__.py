"""`python -m taskprompt` is the command `taskprompt`."""

from taskprompt.cli.main import main

if __name__ == "__main__":
    main()
