"""One process that makes and checks files, started anew where a file ends it or takes too long."""

import faulthandler
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sweep_check import compare, formats, plain
from sweep_films import Recipe, changes, make

SECONDS = 60  # that making, decoding or reading a file may take
WORDS = ("equal", "not allowed", "shows nothing", "refused", "wrong")


class Outcome(NamedTuple):
    """What became of a file: a word, and its reason."""

    recipe: Recipe
    word: str
    text: str


def sweep(
    combinations: list[tuple[str, str, str]], folder: Path, keep: Path | None = None, allow: bool = False
) -> Iterator[Outcome]:
    """The outcome of every file that can be made. keep: where wrong files stay. allow: every format."""
    work = [[Recipe(*each, change) for change in changes(each[2])] for each in combinations]
    while work:
        process, pipe = _start(work, folder, keep, allow)
        try:
            yield from _listen(process, pipe, work)
        finally:
            process.kill()
            process.join()


def _start(work: list[list[Recipe]], folder: Path, keep: Path | None, allow: bool) -> tuple[Any, Any]:
    context = multiprocessing.get_context("fork")  # what is imported stays so
    pipe, theirs = context.Pipe()
    process = context.Process(target=_child, args=(work, theirs, folder, keep, allow))
    process.start()
    theirs.close()
    return process, pipe


def _listen(process: Any, pipe: Any, work: list[list[Recipe]]) -> Iterator[Outcome]:
    """What the process tells, taking off `work` what is done, until its end or that of a file's time."""
    recipe, step = None, ""
    while True:
        try:
            if not pipe.poll(SECONDS):
                ended = f"takes more than {SECONDS} s"
                break
            match pipe.recv():
                case ("begin", *words):
                    recipe, step = Recipe(*words), "make"
                case ("step", step):
                    pass
                case ("end", word, text):
                    if word:
                        yield Outcome(recipe, word, text)  # type: ignore[arg-type]
                    work[0].remove(recipe)  # type: ignore[arg-type]
                case ("next",):
                    del work[0]
                case _:
                    return
        except EOFError:
            process.join()
            code = process.exitcode or 0
            ended = f"ends the process: {signal.Signals(-code).name if code < 0 else f'exit {code}'}"
            break
    if recipe is None:
        raise RuntimeError(f"not one file: the process {ended}")
    if step != "make":  # an encoder may fail as it likes
        yield Outcome(recipe, "wrong" if step == "compare" else "shows nothing", ended)
    work[0] = [] if recipe.change == "whole" else work[0][work[0].index(recipe) + 1 :]
    if not work[0]:
        del work[0]


def _child(work: list[list[Recipe]], pipe: Any, folder: Path, keep: Path | None, allow: bool) -> None:
    faulthandler.disable()  # what ends the process is told by its code
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # encoders print
    os.dup2(null, 2)
    for group in work:
        place = folder / "-".join(group[0][:3]).replace(" ", "_")
        place.mkdir(exist_ok=True)
        for recipe in list(group):
            pipe.send(("begin", *recipe))
            path = make(recipe, place)
            word, text = "", ""
            if path is not None:
                pipe.send(("step", "plain"))
                truth = plain(path)
                pipe.send(("step", "compare"))
                word, text = compare(path, truth, formats(path) if allow else ())
                if keep and word == "wrong":
                    shutil.copy(path, keep / f"{place.name}-{path.name}")
            pipe.send(("end", word, text))
            if path is None and recipe.change == "whole":
                break
        shutil.rmtree(place)
        pipe.send(("next",))
    pipe.send(("done",))
