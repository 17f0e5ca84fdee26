"""A comparison without a cluster: what a journal would hold of two recipes and three seeds."""

import pytest
import yaml

from taskprompt.sweeps.comparison import comparison_sweep
from taskprompt.sweeps.run import SweepRun

VALUES = {"plain": [0.30, 0.34, 0.32], "p_vit": [0.40, 0.41, None]}  # seed 2 of p_vit diverged


@pytest.fixture
def files(squares, tmp_path) -> list[str]:
    for name, kind in (("plain", "none"), ("p_vit", "tokens")):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(squares | {"prompter": {"kind": kind}}))
    return [str(tmp_path / "plain.yaml"), str(tmp_path / "p_vit.yaml")]


@pytest.fixture
def comparison(files, tmp_path) -> SweepRun:
    sweep = comparison_sweep(files, 3, "test/action/top1", None, {})
    run = SweepRun.start(tmp_path / "out", sweep)
    for number, values in enumerate(sweep.combinations()):
        run.note({"event": "begin", "trial": number, "values": values})
        value = VALUES[values["recipe"]][values["seed"]]
        for step, measured in ((1, 0.0), (6, value)):
            if measured is not None:
                event = {"event": "report", "trial": number, "step": step, "value": measured, "seconds": 60}
                run.note(event | {"last": step == 6})
        ended = {"state": "done"} if value is not None else {"state": "failed", "error": "step 3: the loss is nan."}
        run.note({"event": "end", "trial": number, **ended})
    return run
