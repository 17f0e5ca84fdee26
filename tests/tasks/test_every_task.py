"""Every task of the package keeps the promises of all tasks, on labels with holes in them."""

import contextlib
from typing import cast

import numpy as np
import pytest

from taskprompt.core.errors import SampleError
from taskprompt.core.spec import kinds, resolve
from taskprompt.core.task import Task
from taskprompt.core.types import Boxes, Clip, Dims, Joints, Map, Sample, Vectors
from taskprompt.testing.task import check_task

DIMS = Dims(4, 24, 32, (2, 3, 4), 24, ((2, 6, 8, 12), (2, 3, 4, 24), (2, 3, 4, 24)))
T, H, W = DIMS.frames, DIMS.height, DIMS.width


def depth(rng):
    values = rng.uniform(0.5, 12, (T, H, W)).astype(np.float32)
    values[:, :5] = np.nan
    return Map(values)


def normal(rng):
    values = rng.normal(size=(T, H, W, 3)).astype(np.float32)
    values /= np.linalg.norm(values, axis=-1, keepdims=True)
    values[1:, 4:9] = np.nan
    return Vectors(values)


def segmentation(rng):
    values = rng.integers(0, 4, (T, H, W), np.uint8)
    values[:, :, :6] = 255
    return Map(values)


def pose3d(rng):
    values = rng.normal(0, 0.4, (T, 25, 3)).astype(np.float32) + np.array([0, 0, 4], np.float32)
    values[0, 7] = np.nan
    values[1] = np.nan  # nobody in this frame
    return Joints(values)


def boxes(rng):
    low = rng.uniform(0, 12, (T, 3, 2))
    values = np.concatenate([low, low + rng.uniform(3, 10, (T, 3, 2))], -1).astype(np.float32)
    values[0, 1] = np.nan
    values[:, 2] = np.nan  # an object never seen
    return Boxes(values)


def pooled(rng):
    return {"text": str(rng.random()), "vectors": rng.normal(size=6)}


SMALL = {"height": 6, "width": 8}
ODD = {"height": 30, "width": 7, "prompts": 3}
LETTERS = list("abcdefg")
LABELS = {
    "action": (
        lambda rng: rng.choice(LETTERS).item(),
        [{"classes": LETTERS, **more} for more in ({}, {"prompts": 2}, {"blocks": 2})],
    ),
    "depth": (depth, [SMALL, ODD]),
    "normal": (normal, [SMALL, ODD]),
    "segmentation": (segmentation, [{"classes": 4, **SMALL}, {"classes": list("wxyz"), **ODD}]),
    "pose3d": (pose3d, [{}, {"prompts": 0}]),
    "caption": (pooled, [{"width": 6}, {"width": 6, "prompts": 0}]),
    "boxes": (boxes, [{}, {"match": "hungarian"}, {"slots": 2}, {"slots": 1, "match": "hungarian"}]),
}
CASES = [(kind, options) for kind, (_, variants) in LABELS.items() for options in variants]


def test_every_task_is_here():
    assert kinds(Task) == sorted(LABELS)
    assert len(CASES) >= 2 * len(LABELS)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=[f"{k}-{i}" for i, (k, _) in enumerate(CASES)])
def test_promises(kind, options):
    draw, _ = LABELS[kind]
    task = Task.model_validate({"kind": kind, **options})
    assert type(task) is resolve(kind, Task)
    check_task(task, DIMS, draw(np.random.default_rng(0)), draw(np.random.default_rng(1)))


@pytest.mark.parametrize("kind", ["depth", "normal", "segmentation", "pose3d", "boxes"])
def test_a_label_without_a_single_known_value_costs_nothing_and_measures_nothing(kind):
    options = {"segmentation": {"classes": 4}}.get(kind, {})
    draw, _ = LABELS[kind]
    label = draw(np.random.default_rng(0))
    label.values[:] = 255 if kind == "segmentation" else np.nan
    task = Task.model_validate({"kind": kind, **options})
    check_task(task, DIMS, draw(np.random.default_rng(1)), label)


STRANGE = (
    *(
        3.5,
        float("nan"),
        10**400,
        True,
        "text",
        b"bytes",
        {},
        {"a": 1},
        {"text": 1, "vectors": 2},
        [],
        [[]],
        [[1], [1, 2]],
    ),
    *({"text": "\ud800", "vectors": [[1], [1, 2]]}, {"text": "a", "vectors": "b"}, object(), [None], ["a"]),
    *(np.zeros((3, 3)), np.array("a"), np.array(3), np.zeros((0,)), np.array([["a"] * 3]), np.zeros((T, H, W, 9))),
)


@pytest.mark.parametrize("label", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize("kind", LABELS)
def test_a_label_of_another_kind_is_the_sample_s_fault(kind, label):
    """It is skipped, or it is a label after all (a number of a class); never an error of the task's code."""
    sample = Sample("k", Clip(np.zeros((T, H, W, 3), np.uint8), np.arange(float(T))), {"x": label})
    task = cast(Task, resolve(kind, Task).model_validate(LABELS[kind][1][0]))
    with contextlib.suppress(SampleError):
        task.checked_target("x", sample, DIMS)
