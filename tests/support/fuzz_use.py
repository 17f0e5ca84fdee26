"""What taskprompt does with an input of each kind, as a user would have it done: read, checked, measured, reported."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from fuzz_seeds import Seed

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import TaskPromptError
from taskprompt.core.types import Dims
from taskprompt.labels.join import all_labels
from taskprompt.recipe.files import validate
from taskprompt.sources.folder import Folder

CLIP = ClipSpec(frames=4, height=32, width=40, fps=5)
DEPTH = {"kind": "depth", "height": 8, "width": 8}


class Refused(TaskPromptError):
    """A row that is skipped and counted, with its reason."""


def use(kind: str, data: bytes, seed: Seed, film: bytes, whole: bool = False) -> None:
    """Do it in the working folder; whole: of a run the page, too, and training goes on, which takes seconds.

    Raises what taskprompt raises, and Refused for a row that is skipped."""
    here = Path(tempfile.mkdtemp(prefix="in-", dir="."))
    try:
        USES.get(kind, _clip)(here, kind, data, seed, film)
        if whole and kind == "run":
            _go_on(here / "run")
    finally:
        shutil.rmtree(here, ignore_errors=True)


def read(source: Any, tasks: dict[str, Any] | None = None) -> None:
    """Every row as a training reads it."""
    from taskprompt.data.reader import Reader, table_of

    all_labels(source)
    reader = Reader("s", source, tasks or {}, CLIP, None, Dims(4, 32, 40, (2, 4, 4), 32), 0, table_of(source.rows()))
    errors = [str(reader.read(i)["error"]) for i in range(len(reader))]
    if any(errors):
        raise Refused(next(e for e in errors if e))


def folder(path: Path, **more: Any) -> Folder:
    return validate({"path": str(path), **more}, "folder", Folder)


def _recipe(here: Path, kind: str, data: bytes, seed: Seed, film: bytes) -> None:
    import taskprompt as tp
    from taskprompt.checks.model import check_fits
    from taskprompt.sweeps.check import check_sweep

    (here / "r.yaml").write_bytes(data)
    if "sweep" in seed.how:
        (here / "base.yaml").write_text(seed.how["sweep"])
        (here / "r.yaml").write_bytes(b"recipe: base.yaml\n" + data)
        check_sweep(tp.Sweep.load(here / "r.yaml"))
    elif "recipe" in seed.how:
        (here / "r.yaml").write_text(seed.how["recipe"])
        check_fits(tp.Recipe.load(here / "r.yaml", [data.decode("utf-8", "replace")]))
    else:
        check_fits(tp.Recipe.load(here / "r.yaml"))


def _label(here: Path, kind: str, data: bytes, seed: Seed, film: bytes) -> None:
    from taskprompt.tasks.depth import Depth

    (here / "walk").mkdir()
    (here / "walk" / "c.mp4").write_bytes(film)
    (here / "walk" / f"c.depth.{kind}").write_bytes(data)
    tasks = (
        {"depth": validate(DEPTH, "task", Depth)}
        if seed.how["form"] == "map" and (kind != "png" or "scale" in seed.how)
        else {}
    )
    spec = {"file": f"{{stem}}.depth.{kind}", **seed.how}
    read(folder(here, label="class", labels={"depth": spec}), tasks)


def _csv(here: Path, kind: str, data: bytes, seed: Seed, film: bytes) -> None:
    (here / "walk").mkdir()
    (here / "walk" / "c.mp4").write_bytes(film)
    (here / "l.csv").write_bytes(data)
    read(folder(here, csv="l.csv", **seed.how))


def _stored(here: Path, kind: str, data: bytes, seed: Seed, film: bytes) -> None:
    (here / "walk").mkdir()
    for name, other in (seed.how["others"] | {seed.how["name"]: data}).items():
        (here / "walk" / name).write_bytes(other)
    read(folder(here))


def _table(here: Path, kind: str, data: bytes, seed: Seed, film: bytes) -> None:
    from taskprompt.labels import table as label_table

    (here / "a.parquet").write_bytes(data)
    table = label_table.open_table(str(here))
    table.counts()
    for label in table.labels:
        for key in list(table.at[label])[:3]:
            table.of(key, [label])


def _weights(here: Path, kind: str, data: bytes, seed: Seed, film: bytes) -> None:
    from taskprompt.weights.file import read_weights

    (here / f"w.{kind}").write_bytes(data)
    assert all(tensor.shape is not None for tensor in read_weights(here / f"w.{kind}").tensors.values())


def _run(here: Path, kind: str, data: bytes, seed: Seed, film: bytes) -> None:
    from taskprompt.reporting.page import context, environment
    from taskprompt.runs import checkpoint
    from taskprompt.runs.run import Run

    for name, other in (seed.how["others"] | {seed.how["name"]: data}).items():
        (here / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "run" / name).write_bytes(other)
    run = Run.open(here / "run")
    run.read("evaluation.json")  # what is in it, a page checks before it shows it
    run.model()
    checkpoint.read_state(run.checkpoint())
    environment().get_template("page.html.jinja").render(context(run, run.recipe, None, [], []))


def _go_on(place: Path) -> None:
    import taskprompt as tp
    from taskprompt.runs.run import Run

    run = Run.open(place)
    tp.report(run)
    tp.fit(run.recipe, place, resume=True, cluster=None, watch=lambda record: None)


def _clip(here: Path, kind: str, data: bytes, seed: Seed, film: bytes) -> None:
    (here / "walk").mkdir()
    (here / "walk" / f"c.{kind}").write_bytes(data)
    read(folder(here))


USES = {
    **{"recipe": _recipe, "override": _recipe, "npy": _label, "npz": _label, "png": _label, "json": _label},
    **{"csv": _csv, "stored": _stored, "table": _table, "safetensors": _weights, "pth": _weights, "run": _run},
}
