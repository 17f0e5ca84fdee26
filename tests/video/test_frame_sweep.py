"""A slice of the sweep over encoders and containers; and that it notices what it is there to notice."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sweep_worker
from numbered import write
from sweep_check import compare, plain

from taskprompt.video.decode import read_times

SWEEP = Path(__file__).parents[1] / "sweep_frames.py"
SPREAD = [
    ("libx264", "B open", "m4v"),
    ("libx264rgb", "B open", "mkv"),
    ("libx265", "B closed", "m2ts"),
    ("mpeg1video", "B open", "vob"),
    ("mpeg2video", "B closed", "m2v"),
    ("mpeg4", "B open", "3gp"),
    ("libvpx", "hidden", "nut"),
    ("libsvtav1", "low delay", "ivf"),
    ("wmv2", "", "wmv"),
    ("prores_ks", "", "mov"),
    ("gif", "", "gif"),
    ("mjpeg", "", "ismv"),
]


@pytest.mark.slow
def test_a_slice_of_the_sweep(tmp_path):
    outcomes = list(sweep_worker.sweep(SPREAD, tmp_path))
    assert [o for o in outcomes if o.word in ("wrong", "refused")] == []
    assert {o.recipe[:3] for o in outcomes if o.word == "equal"} == {*SPREAD}
    assert sum(o.word == "equal" for o in outcomes) >= 35
    assert {o.recipe.change for o in outcomes} == {"whole", "cut", "edit list", "fragments", "late", "joined"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_counts_by_container():
    command = [sys.executable, str(SWEEP), "--only", "roqvideo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert counts["roq"] == ["3", "0", "3", "0", "0", "0"]  # whole, cut and late, in a container that is not allowed


def test_another_frame_is_wrong(tmp_path, monkeypatch):
    path = write(tmp_path / "film.mkv", frames=20)
    truth = plain(path)
    assert compare(path, truth) == ("equal", "")
    assert compare(path, np.roll(truth, 1, 0))[0] == "wrong"
    assert compare(path, truth[1:]) == ("wrong", "20 frames, plain decoding shows 19")
    # The reader and its times are right, and the folder's rows are not.
    monkeypatch.setattr("taskprompt.sources._folder.labels._nearest", lambda times, clip: np.arange(len(clip.times)))
    assert compare(path, truth)[1].startswith("rows of film.mkv")
    monkeypatch.setattr("sweep_check.read_times", lambda path, times, formats: read_times(path, times - 1 / 30))
    assert compare(path, truth)[1].startswith("frames 0, 1, 2")
    path.write_bytes(b"no film")
    assert [compare(path, shown)[0] for shown in (truth, plain(path))] == ["refused", "shows nothing"]


@pytest.mark.slow
def test_a_file_that_hangs_or_dies_is_wrong(tmp_path, monkeypatch):
    def ends(path, truth, allowed):
        if path.stem == "cut":
            os.abort()
        while path.stem == "late":
            time.sleep(1)
        return "equal", ""

    monkeypatch.setattr(sweep_worker, "compare", ends)
    monkeypatch.setattr(sweep_worker, "SECONDS", 1)
    found = list(sweep_worker.sweep([("flv", "", "avi"), ("flv", "", "asf")], tmp_path))
    assert [(o.recipe.change, o.word) for o in found] == 2 * [("whole", "equal"), ("cut", "wrong"), ("late", "wrong")]
    assert "SIGABRT" in found[1].text
    assert "more than 1 s" in found[2].text
