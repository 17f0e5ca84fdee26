"""Ray for real: streams equal the plain loop, training through Ray Train equals training here, errors come through."""

import os
import threading

import numpy as np
import pytest

import taskprompt as tp
from taskprompt import Runtime
from taskprompt.data.local import plain_chunks
from taskprompt.data.reader import make_reader
from taskprompt.recipe.files import validate
from taskprompt.runs import checkpoint


def silent(record):
    pass


def test_a_ray_stream_is_the_plain_stream(cluster, squares):
    from taskprompt.runtime.training.streams import ray_chunks

    recipe = validate(
        squares | {"sources": squares["sources"] | {"labelled": squares["sources"]["labelled"] | {"broken": [3]}}},
        "r",
        tp.Recipe,
    )
    reader = make_reader(recipe, "labelled", recipe.sources["labelled"], training=True)
    for start, stride, count in ((0, 1, 30), (7, 2, 20)):
        plain = list(plain_chunks(reader, start, stride, count))
        through = list(ray_chunks(reader, start, stride, count, runtime=Runtime(block=4, data_workers=2)))
        for column in plain[0]:
            a = np.concatenate([c[column] for c in plain])
            b = np.concatenate([c[column] for c in through])
            assert np.array_equal(a, b), column


def test_blocks_are_read_in_one_thread_that_gives_way():
    """A thread a block left its memory behind with the C library, a megabyte a clip."""
    from taskprompt.runtime.training.streams import with_low_priority

    def who(indices):
        me = threading.get_native_id()
        return {"thread": np.asarray(me), "nice": np.asarray(os.getpriority(os.PRIO_PROCESS, me))}

    found = [with_low_priority(who, np.arange(2)) for _ in range(3)]
    me = threading.get_native_id()
    assert len({int(f["thread"]) for f in found} | {me}) == 2
    assert {int(f["nice"]) for f in found} == {min(19, os.getpriority(os.PRIO_PROCESS, me) + 10)}


def test_one_worker_on_ray_is_this_process(cluster, squares, tmp_path):
    recipe = validate(squares, "r", tp.Recipe)
    here = tp.fit(recipe, tmp_path / "here", cluster=None, watch=silent)
    seen = []
    there = tp.fit(recipe, tmp_path / "there", cluster="local", watch=seen.append)
    a, b = (checkpoint.read_tensors(r.checkpoint(), "model") for r in (here, there))
    assert all(np.array_equal(a[k].numpy(), b[k].numpy()) for k in a)
    assert [e.step for e in seen if isinstance(e, tp.events.Step)] == [1, 2, 3, 4, 5, 6]
    both = [tp.evaluate(r, cluster=c, watch=silent) for r, c in ((here, None), (there, "local"))]
    assert both[0]["sources"] == both[1]["sources"]


def test_what_a_worker_raises_is_one_line_here(cluster, squares, tmp_path):
    squares["sources"]["rendered"]["wrong"] = [3]
    expected = r"^step \d: source 'rendered', sample 'squares/3': ZeroDivisionError: a mistake[^\n]*$"
    with pytest.raises(tp.SourceError, match=expected):
        tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "run", cluster="local", watch=silent)


def test_more_than_the_cluster_has_is_refused_with_the_arithmetic(cluster, squares, tmp_path):
    squares["runtime"] |= {"workers": 2, "data_workers": 4}
    expected = r"2 workers x 1 CPUs \+ 2 workers x 2 sources x 4 data tasks = 18 CPUs; the cluster has 8 CPUs"
    with pytest.raises(tp.ClusterError, match=expected):
        tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "run", cluster="local", watch=silent)


def test_a_quota_that_does_not_divide_is_refused(cluster, squares, tmp_path):
    squares["runtime"] |= {"workers": 2}
    squares["sources"]["rendered"]["quota"] = 3
    with pytest.raises(tp.SpecError, match=r"sources.rendered.quota: 3 clips cannot be divided among 2 workers"):
        tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "run", cluster="local", watch=silent)


def test_render_draws_once(cluster, tmp_path):
    from taskprompt.runtime.labeling.render import render

    scenes = {"kind": "scenes", "clips": 6, "size": 32, "cache": str(tmp_path / "cache")}
    data = {
        "clip": {"frames": 2, "height": 32, "width": 32},
        "sources": {"drawn": scenes},
        "backbone": {"kind": "tiny"},
        "prompter": {"kind": "none"},
        "tasks": {"depth": {"kind": "depth"}},
        "stages": [{"steps": 1}],
    }
    assert render(validate(data, "r", tp.Recipe))["sources.drawn"][:2] == (6, 0)
    assert render(validate(data, "r", tp.Recipe))["sources.drawn"][:2] == (0, 6)
    stored = {"kind": "folder", "path": str(tmp_path / "cache")}
    recipe = validate(data | {"sources": {"drawn": stored}}, "r", tp.Recipe)
    reader = make_reader(recipe, "drawn", recipe.sources["drawn"], training=False)
    assert len(reader) == 6
    assert reader(np.arange(6))["has depth"].all()
