"""The labeling job: Ray Data reads clips, actors hold the model, and every batch of answers is written at once.

An actor writes its answers before it takes more clips, so a killed job loses only the questions in progress. A question
is not asked again if the table has an answer for the same clip, frames and question."""

import json
import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from taskprompt.core.errors import ErrorRecord, SampleError, SourceError, SpecError
from taskprompt.core.events import Labeling, Watch
from taskprompt.core.labeler import Labeler, Question
from taskprompt.core.moment import Middle
from taskprompt.core.source import Source
from taskprompt.core.types import Row, plain
from taskprompt.data.reader import load, table_of
from taskprompt.labels import table as label_table
from taskprompt.recipe.recipe import Recipe
from taskprompt.runtime.cluster.connect import connected
from taskprompt.runtime.cluster.failures import plain_error
from taskprompt.runtime.labeling.actor import LabelActor

READ = 16  # clips per reading task
Addresses = dict[str, dict[str, str]]  # key -> label -> address of the table's answer


def label(
    recipe: Recipe,
    names: tuple[str, ...] = (),
    address: str = "local",
    watch: Watch = lambda event: None,
    limit: int | None = None,
) -> dict[str, Counter[str]]:
    """Run a recipe's labelers in order, or only those in `names`: name -> numbers of labels that existed, were made,
    and failed; 'LABEL: FLAG': number of the table's answers with a flag. limit: largest number of clips to ask about
    per labeler; clips with existing answers do not count.

    Raises SpecError if there is no such labeler, SourceError if nothing can be read."""
    if limit is not None and limit < 1:
        raise SpecError(f"label: limit is {limit}, expected 1 or more clips.")
    for name in names:
        if name not in recipe.labelers:
            raise SpecError(f"label: no labeler {name!r}. Known: {', '.join(recipe.labelers) or 'none'}.")
    chosen = {n: spec for n, spec in recipe.labelers.items() if not names or n in names}
    if not chosen:
        raise SpecError("label: the recipe has no `labelers`. Add one, as docs/captions.md shows.")
    with connected(recipe, address, ship_package=any(spec.python for spec in chosen.values())) as ray:
        from ray.exceptions import RayError

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # an error that ends the job is raised, in one line
        try:
            return {name: _run(ray, recipe, name, spec, watch, limit) for name, spec in chosen.items()}
        except RayError as error:
            raise plain_error(error) from None


def _run(ray, recipe: Recipe, name: str, labeler: Labeler, watch: Watch, limit: int | None) -> Counter:
    questions = labeler.questions()
    rows = listed(recipe, name, labeler)
    counts: Counter = Counter(clips=len(rows))
    begun = time.monotonic()
    of = len(rows) if limit is None else min(limit, len(rows))
    for batch in answers(ray, recipe, labeler, questions, rows, limit):
        for key in ("there", "made", "failed", "tokens"):
            counts[key] += int(batch[key].sum())
        counts["seen"] += len(batch["made"])
        seconds = time.monotonic() - begun
        done = {key: counts[key] for key in ("seen", "there", "made", "failed", "tokens")}
        watch(Labeling(labeler=name, clips=len(batch["made"]), total=of, seconds=seconds, **done))
    flagged = label_table.open_table(labeler.table).counts() if label_table.files(labeler.table) else {}
    for question in questions:
        counts.update({f"{question.label}: {flag}": n for flag, n in flagged.get(question.label, {}).items()})
    return counts


def listed(recipe: Recipe, name: str, labeler: Labeler) -> list[tuple[str, Row]]:
    """'sources.name' and row of every clip that a labeler labels. Raises SourceError if there is none."""
    rows = [(group, row) for group, source in covered(recipe, labeler).items() for row in source.rows()]
    if not rows:
        raise SourceError(f"labelers.{name}: its sources list no clips. Check `sources`.")
    return rows


def answers(
    ray,
    recipe: Recipe,
    labeler: Labeler,
    questions: tuple[Question, ...],
    rows: list[tuple[str, Row]],
    limit: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Through Ray Data: for each clip the numbers of answers that existed, were made, and failed; they are already in
    the table. limit: only this many clips with open questions."""
    sources = covered(recipe, labeler)
    shared = ray.put((recipe.clip, labeler, sources, questions, addresses(labeler.table)))
    places = table_of({"source": group, "row": json.dumps(row)} for group, row in rows)
    data = ray.data.from_arrow(places).repartition(max(1, len(rows) // READ))
    # Not 1, as for actors: Ray fuses two steps with the same resources, and then does not read while the model runs.
    data = data.map_batches(_reader(ray, shared), batch_size=READ, num_cpus=0.75)
    if limit is not None:
        with warnings.catch_warnings(action="ignore"):  # a hint to use expressions
            data = data.filter(lambda row: row["asked"] != "{}" or row["stop"] != "", num_cpus=0.75)
        data = data.limit(limit)
    data = data.map_batches(
        LabelActor,
        fn_constructor_args=(labeler, questions),
        batch_size=labeler.batch,
        concurrency=labeler.actors,
        **on_an_actor(labeler),
    )
    for batch in data.iter_batches(batch_size=None, batch_format="numpy"):
        if not len(batch.get("stop", ())):
            continue  # all answers of a part exist already
        if stops := [str(stop) for stop in batch["stop"] if stop]:
            raise ErrorRecord.loads(stops[0]).raised()
        yield batch


def on_an_actor(labeler: Labeler) -> dict[str, Any]:
    """Ray options of an actor that holds the model."""
    options: dict[str, Any] = {"num_cpus": labeler.cpus, "num_gpus": labeler.gpus}
    if labeler.python:
        options["runtime_env"] = {"py_executable": labeler.python}
    return options


def covered(recipe: Recipe, labeler: Labeler) -> dict[str, Source]:
    """'sources.name' -> source, for the sources of a labeler, with the tables that exist before it runs."""
    groups = {"sources": recipe.sources, "held_out": recipe.held_out}
    found = {}
    for group, part in groups.items():
        for name, source in part.items():
            if labeler.sources is None or name in labeler.sources:
                tables = tuple(t for t in source.tables if t.path != labeler.table and label_table.files(t.path))
                found[f"{group}.{name}"] = source.model_copy(update={"tables": tables, "only": None})
    return found


def addresses(folder: str) -> Addresses:
    """Addresses of a table's successful answers; empty if there is no table."""
    if not label_table.files(folder):
        return {}
    table = label_table.read(folder, ("key", "label", "address", "error"))
    known: Addresses = {}
    for key, name, address, error in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if not error:
            known.setdefault(key, {})[name] = address
    return known


def _reader(ray, shared) -> Callable[[dict[str, np.ndarray]], dict[str, list]]:
    def read(batch: dict[str, np.ndarray]) -> dict[str, list]:
        clip, labeler, sources, questions, known = ray.get(shared)
        rows = [
            _read(sources[str(group)], json.loads(str(row)), clip, labeler, questions, known)
            for group, row in zip(batch["source"], batch["row"], strict=True)
        ]
        return {name: [row[name] for row in rows] for name in rows[0]}

    return read


def _read(source: Source, row: Row, clip, labeler: Labeler, questions: tuple[Question, ...], known: Addresses) -> Row:
    """One clip as input of the actors: frames, input labels, and open questions."""
    seen = labeler.clip(clip)
    flat: Row = {
        "key": row["key"],
        "frames": b"",
        "shape": [0],
        "times": [0.0],
        "labels": "{}",
        "asked": "{}",
        "error": "",
        "stop": "",
    }
    try:
        sample = load(source, row, clip if seen is None else seen, Middle())
    except SampleError as error:
        return flat | {
            "error": ErrorRecord.of(error, row["key"]).dumps(),
            "asked": json.dumps({q.label: "" for q in questions}),
        }
    except Exception as error:
        return flat | {"stop": ErrorRecord.of(error, row["key"]).dumps()}
    read = {n: _json(plain(v)) for n, v in sample.labels.items() if n in labeler.reads()}
    video = None if seen is None else sample.clip.video
    wanted = {q.label: label_table.address(video, read, q.asked) for q in questions}
    there = known.get(sample.key, {})
    flat |= {"key": sample.key, "labels": json.dumps(read)}
    flat["asked"] = json.dumps({n: address for n, address in wanted.items() if there.get(n) != address})
    if video is not None:
        flat |= {"frames": video.tobytes(), "shape": list(video.shape), "times": sample.clip.times.tolist()}
    return flat


def _json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
