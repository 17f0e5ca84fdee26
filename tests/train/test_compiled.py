"""A recipe's torch.compile, and what is said where it cannot be had."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch._inductor import config

import taskprompt as tp
from taskprompt.core.model import MultiTaskModel
from taskprompt.evaluation.predict import write_picture
from taskprompt.recipe.files import dump, validate
from taskprompt.recipe.runtime import Runtime


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))  # where nothing was compiled before
    with config.patch({"cpp.cxx": (None, "/nowhere/g++")}):
        yield


def test_without_a_compiler_one_line_says_so(squares, tmp_path, no_compiler):
    squares["runtime"] |= {"compile": True}
    with pytest.raises(
        tp.ClusterError, match=r"^torch\.compile failed .*No working C.. compiler.*/nowhere.*Install"
    ) as e:
        tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "run", cluster=None, watch=lambda record: None)
    assert "\n" not in str(e.value)
    squares["runtime"] |= {"compile": False}
    run = tp.fit(
        validate(squares, "r", tp.Recipe), tmp_path / "run", cluster=None, resume=True, watch=lambda record: None
    )
    assert len(run.lines("metrics.jsonl")) == 6
    squares["runtime"] |= {"compile": True}
    with pytest.raises(tp.ClusterError, match="compile failed here"):
        tp.profile([validate(squares, "r", tp.Recipe)])


def test_a_trained_model_is_compiled_too(squares, tmp_path, no_compiler):
    """In evaluate, predict and report, as the run's recipe says."""
    run = tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "run", cluster=None, watch=lambda record: None)
    write_picture(tmp_path / "clip", np.zeros((8, 32, 32, 3), np.uint8), Fraction(8))
    tp.predict(run, tmp_path / "clip.mp4")
    squares["runtime"] |= {"compile": True}
    (run.path / "recipe.yaml").write_text(dump(validate(squares, "r", tp.Recipe)))
    for verb in (tp.evaluate, tp.report, lambda r: tp.predict(r, tmp_path / "clip.mp4")):
        with pytest.raises(tp.ClusterError, match="compile failed here"):
            verb(run)


def test_threads_hold_where_a_trained_model_runs(squares, tmp_path, monkeypatch):
    """And torch has as many as before at the end."""
    seen, forward = [], MultiTaskModel.forward
    monkeypatch.setattr(MultiTaskModel, "forward", lambda *a: seen.append(torch.get_num_threads()) or forward(*a))
    squares["runtime"] |= {"threads": 3}
    run = tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "run", cluster=None, watch=lambda record: None)
    write_picture(tmp_path / "clip", np.zeros((8, 32, 32, 3), np.uint8), Fraction(8))
    for verb in (tp.evaluate, tp.report, lambda r: tp.predict(r, tmp_path / "clip.mp4")):
        verb(run)
        assert seen
        assert set(seen) == {3}
        seen.clear()
        assert torch.get_num_threads() == 1


def test_what_a_worker_asks_for_and_where_it_runs(monkeypatch):
    assert Runtime(cpus_per_worker=2.5).worker_resources() == {"CPU": 2.5}
    assert Runtime(gpu=0.3).worker_resources() == {"CPU": 1.0, "GPU": 1 / 3}
    assert Runtime(cpus_per_worker=2.5).torch_threads == 2
    assert Runtime(cpus_per_worker=0.5).torch_threads == 1
    assert Runtime(gpu=True).torch_threads is None
    assert Runtime(gpu=True, threads=4).torch_threads == 4
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Runtime().device() == Runtime(gpu=True).device(fallback=True) == torch.device("cpu")
    with pytest.raises(tp.SpecError, match=r"runtime.gpu is True, but torch sees no GPU here. Set runtime.gpu=false."):
        Runtime(gpu=True).device()
