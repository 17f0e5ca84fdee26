"""A batch of a label-free task, as training would make it, of clips of noise."""

import numpy as np

from taskprompt.core.clip import ClipSpec, ClipView
from taskprompt.core.task import Task
from taskprompt.core.types import Batch, Clip, Columns, Dims, Sample
from taskprompt.data.batch import collate, prepare, prepare_views
from taskprompt.data.reader import stack
from taskprompt.data.views import count_views, rearranged

FPS = 8.0  # of the clips
CLIPS = 3


def label_free_batch(name: str, task: Task, dims: Dims) -> tuple[Batch, Sample]:
    """The rows of a few clips, and one of the samples. Raises AssertionError where the views are not as promised."""
    clip = ClipSpec(frames=dims.frames, height=dims.height, width=dims.width, fps=FPS)
    count = count_views({name: task}, clip).get(name, 0)
    rows: list[Columns] = []
    samples: list[Sample] = []
    for seed in range(CLIPS):
        if not count:
            samples.append(_noise(seed, dims, 1.0))
            rows.append(prepare(samples[-1], {name: task}, dims))
            continue
        views, again = (task.checked_views(name, clip, np.random.default_rng(seed)) for _ in range(2))
        assert len(views) == count, f"views gives {len(views)} views of one clip and {count} of another"
        assert _spans(views) == _spans(again), "views gives others for a generator of the same state"
        shown = [(v.label, rearranged(_noise(seed, dims, v.span), v.frames)) for v in views]
        samples += [sample for _, sample in shown]
        columns = prepare_views(name, task, shown, count, dims)
        rows.append({"key": np.asarray(samples[-1].key)} | columns)
    return collate([stack(rows)], {name: task}), samples[0]


def _spans(views: list[ClipView]) -> list[tuple[float, object]]:
    return [(view.span, view.frames) for view in views]


def _noise(seed: int, dims: Dims, span: float) -> Sample:
    shape = (dims.frames, dims.height, dims.width, 3)
    video = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Sample(f"sample-{seed}", Clip(video, np.arange(dims.frames) * span / FPS))
