"""Class names as a recipe gives them: a list, the path of a text file with one a line, or how many there are."""

from pathlib import Path

from taskprompt.core.errors import SpecError

Classes = tuple[str, ...] | str | int
MOST = 1_000_000  # classes


def read_classes(value: Classes) -> tuple[str, ...]:
    """The names, in order; a number gives '0', '1', ... Read once, with the recipe, so that the spec contains them.

    Raises SpecError for a file that cannot be read, fewer than two names, or a name that occurs twice."""
    if isinstance(value, int) and value > MOST:
        raise SpecError(f"found {value} classes, expected at most {MOST}.")
    if isinstance(value, int):
        names = tuple(str(i) for i in range(value))
    elif isinstance(value, str):
        names = _from_file(Path(value))
    else:
        names = value
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise SpecError(f"the class {twice[0]!r} occurs {names.count(twice[0])} times. Name each class once.")
    if len(names) < 2:
        raise SpecError(
            f"found {len(names)} classes, expected two or more. Name them, or give a file with one per line."
        )
    return names


def _from_file(path: Path) -> tuple[str, ...]:
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise SpecError(f"the classes' file {path} cannot be read: {reason}. Give a text file, one per line.") from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())
