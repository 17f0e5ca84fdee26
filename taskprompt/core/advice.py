"""Advice in error messages, for the command line and for Python.

Messages name command-line options such as --resume and --out; for callers in Python they become arguments."""

import re

FLAGS = ("resume", "fresh", "retry")
OPTIONS = (
    "address",
    "checkpoint",
    "clip",
    "cluster",
    "entry",
    "inputs",
    "limit",
    "metric",
    "mode",
    "only",
    "out",
    "over",
    "python",
    "ship",
)
ANY = "|".join(FLAGS + OPTIONS)


def for_python(text: str) -> str:
    """The text with options as arguments of functions: --resume as `resume=True`, `fit --out` as `fit(out=...)`."""
    text = re.sub(rf"`(?:taskprompt )?(\w+) --({ANY})`", r"`\1(\2=...)`", text)
    text = re.sub(r"`taskprompt job list`", "`taskprompt.jobs`", text)
    text = re.sub(r"`taskprompt (\w+)`", r"`taskprompt.\1`", text)
    text = re.sub(rf"(?<![^\s`(])`?--({'|'.join(FLAGS)})\b(?!-)`?", r"`\1=True`", text)
    return re.sub(rf"(?<![^\s`(])`?--({'|'.join(OPTIONS)})\b(?!-)`?", r"`\1`", text)
