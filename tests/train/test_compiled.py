"""A recipe's torch.compile, and what is said where it cannot be had."""

import pytest
from torch._inductor import config

import taskprompt as tp
from taskprompt.recipe.files import validate


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(config.cpp, "cxx", (None, "/nowhere/g++"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))  # where nothing was compiled before


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
