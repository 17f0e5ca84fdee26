"""Answers per second of a labeler: the whole pipeline, compared with its model given all questions in one list."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import median

from taskprompt.core.errors import SampleError, SpecError
from taskprompt.core.labeler import Labeler
from taskprompt.core.moment import Middle
from taskprompt.core.types import Row, Sample
from taskprompt.data.reader import load
from taskprompt.recipe.recipe import Recipe
from taskprompt.runtime.cluster.connect import connected
from taskprompt.runtime.labeling.job import READ, answers, covered, listed, on_an_actor


@dataclass(frozen=True, slots=True)
class Rates:
    """Answers per second, without the time to load the model and its first batch."""

    pipeline: float
    direct: float

    @property
    def ratio(self) -> float:
        """The pipeline's rate relative to that of the model alone."""
        return self.pipeline / self.direct


def bench_label(recipe: Recipe, name: str, rounds: int = 3) -> Rates:
    """Medians over rounds; in each, both run one after the other with separate models; the answers are not kept.

    Raises SpecError if there is no such labeler, or too few clips."""
    if name not in recipe.labelers:
        raise SpecError(f"bench label: no labeler {name!r}. Known: {', '.join(recipe.labelers) or 'none'}.")
    labeler = recipe.labelers[name]
    rows = listed(recipe, name, labeler)
    least = 3 * max(labeler.batch, READ)  # answers are counted per batch
    if len(rows) < least:
        raise SpecError(f"bench label: found {len(rows)} clips, expected at least {least}. Add clips.")
    pipeline, direct = [], []
    with connected(recipe, "local", ship_package=labeler.python is not None) as ray:
        samples = ray.put(list(_samples(recipe, labeler, rows)))
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                pipeline.append(_through(ray, recipe, labeler.model_copy(update={"table": folder}), rows))
            one = ray.remote(**on_an_actor(labeler))(Alone).remote()
            direct.append(ray.get(one.rate.remote(labeler, samples)))
            ray.kill(one)  # type: ignore[arg-type]
    return Rates(median(pipeline), median(direct))


def _through(ray, recipe: Recipe, labeler: Labeler, rows: list[tuple[str, Row]]) -> float:
    """Answers per second from the end of the first batch to that of the last, by the actors' clocks."""
    made: dict[float, int] = {}
    for batch in answers(ray, recipe, labeler, labeler.questions(), rows):
        for ended, count in zip(batch["ended"].tolist(), batch["made"].tolist(), strict=True):
            made[ended] = made.get(ended, 0) + count
    ends = sorted(made)
    return (sum(made.values()) - made[ends[0]]) / (ends[-1] - ends[0])


def _samples(recipe: Recipe, labeler: Labeler, rows: list[tuple[str, Row]]) -> Iterator[Sample]:
    """Samples in the shape that the labeler reads, with the labels that it reads."""
    sources = covered(recipe, labeler)
    for group, row in rows:
        with suppress(SampleError):
            sample = load(sources[group], row, labeler.clip(recipe.clip) or recipe.clip, Middle())
            labels = {n: v for n, v in sample.labels.items() if n in labeler.reads()}
            yield replace(sample, labels=labels)


class Alone:
    """An actor like those of the pipeline, with all clips in memory before the measurement."""

    def rate(self, labeler: Labeler, samples: list[Sample]) -> float:
        """Answers per second when all questions about all clips are passed at once, after a first batch."""
        labels = [q.label for q in labeler.questions()]
        ask = labeler.build()
        ask(samples[: labeler.batch], [labels] * len(samples[: labeler.batch]))
        begun = time.monotonic()
        found = ask(samples, [labels] * len(samples))
        seconds = time.monotonic() - begun
        return sum(not a.error for answers in found for a in answers.values()) / seconds
