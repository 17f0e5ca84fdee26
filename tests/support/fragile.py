"""A tracker that fails where it is told to."""

from pathlib import Path

from taskprompt import Tracker, Tracking, events


class Fragile(Tracker):
    """Writes what it is told into a file, and fails once."""

    fails: str = ""  # open, close, or the class of an event

    def open(self, folder: Path, step: int) -> "Notes":
        if self.fails == "open":
            raise OSError("no such host")
        folder.mkdir(exist_ok=True)
        return Notes(folder / "notes.txt", self.fails)


class Notes(Tracking):
    """One line an event, with its class."""

    def __init__(self, file: Path, fails: str):
        self.file, self.fails = file, fails

    def __call__(self, event: events.Event) -> None:
        name = type(event).__name__
        with self.file.open("a") as file:
            file.write(f"{name}\n")
        if name == self.fails:
            raise RuntimeError("the server says no")

    def close(self) -> None:
        if self.fails == "close":
            raise RuntimeError("the server says no")
