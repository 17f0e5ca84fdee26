"""The scenes source: rows, spec, labels asked for, cache."""

import pickle
from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from taskprompt.core.clip import ClipSpec
from taskprompt.core.moment import Middle, Random
from taskprompt.core.source import Source
from taskprompt.core.spec import kinds, resolve
from taskprompt.core.types import Sample, plain
from taskprompt.sources.scenes import ACTIONS, LABELS, SEGMENTS, Scenes
from taskprompt.testing import check_source


def scenes(**options) -> Scenes:
    return Scenes.model_validate(options)


def shape(frames: int) -> ClipSpec:
    return ClipSpec.model_validate({"frames": frames})


CLIP = shape(frames=3)


def equal(a: Sample, b: Sample) -> bool:
    same = a.key == b.key and list(a.labels) == list(b.labels) and np.array_equal(a.clip.video, b.clip.video)
    return same and all(_same(plain(a.labels[n]), plain(b.labels[n])) for n in a.labels)


def _same(a, b) -> bool:
    return (
        np.array_equal(a, b, equal_nan=True)
        if isinstance(a, np.ndarray) and a.dtype.kind == "f"
        else np.array_equal(a, b)
    )


def test_it_is_a_kind():
    assert "scenes" in kinds(Source)
    assert resolve("scenes", Source) is Scenes


def test_actions_are_balanced_and_keys_unique():
    rows = list(scenes(clips=220, seed=3).rows())
    assert len({r["key"] for r in rows}) == 220
    assert Counter(r["action"] for r in rows) == dict.fromkeys(ACTIONS, 20)
    assert len(ACTIONS) == 11
    assert rows[7]["key"] == "scenes-clean/3/7"
    few = Counter(r["action"] for r in scenes(clips=20, actions=("walk", "run", "drop")).rows())
    assert sorted(few.values()) == [6, 7, 7]


def test_more_clips_leave_the_first_as_they_are():
    assert list(scenes(clips=30).rows()) == list(scenes(clips=90).rows())[:30]
    assert [r["action"] for r in scenes(clips=11).rows()] != [r["action"] for r in scenes(clips=11, seed=1).rows()]


def test_spec_travels():
    spec = scenes(clips=4, look="worn", actions=("kick", "wave"), only=("action",))
    assert Source.model_validate(spec.model_dump(mode="json")) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actions": ["wlak"]}, "no action 'wlak'. Did you mean 'walk'? Known: walk, run"),
        ({"actions": ["pick up"]}, "Did you mean 'pick_up'?"),
        ({"actions": []}, "expected one action or more, each once"),
        ({"actions": ["run", "run"]}, "expected one action or more, each once"),
        ({"look": "shiny"}, "'clean' or 'worn'"),
        ({"clips": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_options_are_explained(options, message):
    with pytest.raises(ValidationError) as caught:
        Scenes.model_validate({"clips": 1, **options})
    assert message in str(caught.value)


def test_load_gives_every_label_and_is_pure():
    source = scenes(clips=2, size=32)
    assert source.own_labels() == LABELS
    row = next(iter(source.rows()))
    sample = source.load(row, CLIP, Random(np.random.default_rng(0)))
    assert tuple(sample.labels) == LABELS
    assert sample.labels["action"] == row["action"]
    assert sample.clip.video.shape == (3, 32, 32, 3)
    assert np.all(np.diff(sample.clip.times) > 0)
    assert equal(sample, source.load(row, CLIP, Middle()))
    assert len(SEGMENTS) == 10


def test_it_keeps_the_promises_of_a_source():
    check_source(scenes(clips=3, size=32), CLIP)


def test_only_drops_the_other_labels():
    source = scenes(clips=1, size=32, only=("depth", "action"))
    assert set(source.load(next(iter(source.rows())), CLIP, Middle()).labels) == {"depth", "action"}


def test_one_frame_is_the_middle():
    source = scenes(clips=1, size=32, only=("depth",))
    row = next(iter(source.rows()))
    one, three = (source.load(row, shape(frames=n), Middle()) for n in (1, 3))
    np.testing.assert_array_equal(plain(one.labels["depth"])[0], plain(three.labels["depth"])[1])


def test_a_cached_clip_is_the_drawn_one(tmp_path):
    plain_source = scenes(clips=2, size=32)
    source = scenes(clips=2, size=32, cache=str(tmp_path))
    for row in source.rows():
        drawn = plain_source.load(row, CLIP, Middle())
        assert equal(drawn, source.load(row, CLIP, Middle()))
        files = sorted(tmp_path.rglob("*.mov"))
        assert equal(drawn, source.load(row, CLIP, Middle()))
        assert sorted(tmp_path.rglob("*.mov")) == files
    assert len(list(tmp_path.rglob("*.mov"))) == 2


def test_a_cached_clip_is_read_and_not_drawn(tmp_path):
    source = scenes(clips=2, size=32, cache=str(tmp_path), only=("action",))
    first, second = source.rows()
    source.load(first, CLIP, Middle())
    for file in list(tmp_path.rglob("*")):
        if source.stored_name(first, CLIP).split("/")[1] in file.name:
            name = file.name.replace(*(source.stored_name(r, CLIP).split("/")[1] for r in (first, second)))
            file.rename(file.with_name(name))
    swapped = source.load(second, CLIP, Middle())
    assert swapped.key == second["key"]
    assert swapped.labels == {"action": first["action"]}


def test_the_cache_tells_drawings_apart():
    row = {"key": "k", "index": 0, "action": "run"}
    specs = [scenes(clips=1), scenes(clips=1, seed=1), scenes(clips=1, look="worn"), scenes(clips=1, size=64)]
    names = [s.stored_name(row, CLIP) for s in specs]
    names += [specs[0].stored_name(row, shape(frames=8)), specs[0].stored_name({**row, "action": "walk"}, CLIP)]
    assert len(set(names)) == 6
