import importlib
import sys
import textwrap

import numpy as np
import pytest
import torch

from taskprompt.core.errors import LayoutError, SampleError
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Clip, Dims, Map, Sample
from taskprompt.data.batch import blank, collate, prepare
from taskprompt.testing.task import check_task, random_features

DIMS = Dims(4, 16, 24, (2, 2, 3), 8)
CONTACT = '''
"""Contact: is a hand touching an object, frame by frame?"""
from torch.nn import functional as F

from taskprompt.core.task import Array, Task
from taskprompt.nn.heads import PromptHead


class Contact(Task):
    layout = {"touch": Array("frames")}

    def target(self, label, sample):
        return {"touch": label}

    def head(self, dims):
        return PromptHead(dims.dim, dims.frames)

    def loss(self, output, target):                      # m frames -> m
        return F.binary_cross_entropy_with_logits(output, target["touch"], reduction="none").mean(-1)
'''


@pytest.fixture
def contact(tmp_path, monkeypatch) -> Task:
    """A user's own task, in a file of their own."""
    (tmp_path / "my_tasks").mkdir()
    (tmp_path / "my_tasks" / "contact.py").write_text(textwrap.dedent(CONTACT), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("my_tasks.contact", "my_tasks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    return Task.model_validate({"kind": "my_tasks.contact:Contact"})


class Holes(Task):
    """A task whose target is whatever the label says."""

    layout = {"map": Array("frames side 2"), "index": Array("", "int64")}
    side: int = 3

    def target(self, label, sample):
        if isinstance(label, str):
            raise SampleError(label)
        return label

    def head(self, dims):
        return torch.nn.Identity()

    def loss(self, output, target):
        return output.flatten(1).mean(1)


def sample(**labels):
    return Sample("clip-7", Clip(np.zeros((4, 16, 24, 3), np.uint8), np.arange(4.0)), labels)


def good():
    return {"map": np.ones((4, 3, 2), np.float64), "index": 5}


def test_a_users_own_task_keeps_every_promise(contact):
    assert contact.model_dump()["kind"] == "my_tasks.contact:Contact"
    check_task(contact, DIMS, [0, 1, 1, 0], np.array([1, 1, 0, 0]))
    output = contact.head(DIMS)(None, random_features(DIMS, 3))
    assert output.shape == (3, 4)
    loss = contact.loss(torch.zeros(2, 4), {"touch": torch.tensor([[0.0, 1, 1, 0], [1, 1, 1, 1]])})
    assert loss.tolist() == pytest.approx([np.log(2)] * 2)
    assert contact.metrics(output, {}) == {}
    assert contact.meter().compute() == {}
    assert (contact.trivial({}), contact.perfect({}), contact.answer(output)) == (None, None, None)


def test_a_users_mistake_is_named(contact):
    with pytest.raises(LayoutError, match=r"'touch' has shape \(3,\), its layout 'frames' is \(4,\).*Contact.target"):
        contact.checked_target("contact", sample(contact=[0, 1, 1]), DIMS)


def test_a_target_takes_its_layouts_types():
    target = Holes().checked_target("holes", sample(holes=good()), DIMS)
    assert target is not None
    assert (target["map"].shape, target["map"].dtype) == ((4, 3, 2), np.float32)
    assert (target["index"].shape, target["index"].dtype) == ((), np.int64)


def test_a_label_is_read_by_the_tasks_name_or_by_the_one_it_gives():
    assert Holes().checked_target("holes", sample(other=good()), DIMS) is None
    assert Holes(label="other").checked_target("holes", sample(other=good()), DIMS) is not None
    assert Holes(label="other").checked_target("holes", sample(holes=good()), DIMS) is None


def test_a_task_sees_the_array_inside_a_form():
    class Seen(Holes):
        def target(self, label, sample):
            assert type(label) is np.ndarray
            return {"map": np.broadcast_to(label[:, :3, :2], (4, 3, 2)), "index": 0}

    target = Seen().checked_target("seen", sample(seen=Map(np.full((4, 16, 24), 7.0))), DIMS)
    assert target is not None
    assert (target["map"] == 7).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"map": np.ones((4, 3))}, r"sample 'clip-7': target 'map' has shape \(4, 3\).*'frames side 2' is \(4, 3, 2\)"),
        ({"index": [1]}, r"'index' has shape \(1,\).*is \(\)"),
        ({"mask": np.ones(3)}, r"returned \['index', 'map', 'mask'\], its layout has \['index', 'map'\]"),
    ],
)
def test_a_target_that_is_not_its_layout_is_an_error(change, says):
    with pytest.raises(LayoutError, match=says):
        Holes().checked_target("holes", sample(holes=good() | change), DIMS)


def test_a_bad_label_is_a_bad_sample_under_the_tasks_name():
    with pytest.raises(SampleError, match=r"^task 'holes': no such thing"):
        Holes().checked_target("holes", sample(holes="no such thing"), DIMS)


def test_a_layouts_axes_are_fields_sizes_or_numbers():
    assert Holes(side=7).shape(Array("frames side height width dim 2"), DIMS) == (4, 7, 16, 24, 8, 2)
    with pytest.raises(LayoutError, match="axis 'sides', which is neither a field"):
        Holes().shape(Array("sides"), DIMS)


def test_rows_have_one_schema_and_targets_only_their_owners():
    tasks = {"holes": Holes()}
    rows = [
        prepare(sample(holes=good()), tasks, DIMS),
        prepare(sample(), tasks, DIMS),
        prepare(sample(holes=good()), tasks, DIMS),
    ]
    schemas = [{k: (v.shape, v.dtype.kind) for k, v in row.items()} for row in (*rows, blank(tasks, DIMS))]
    assert all(s == schemas[0] for s in schemas)
    other = {"key": np.array(["x"]), "video": np.zeros((1, 4, 16, 24, 3), np.uint8)}  # a source without this label
    batch = collate([other, {k: np.stack([r[k] for r in rows]) for k in rows[0]}], tasks)
    assert batch.rows["holes"].tolist() == [1, 3]
    assert batch.targets["holes"]["map"].shape == (2, 4, 3, 2)
    assert batch.video.shape == (4, 4, 16, 24, 3)
