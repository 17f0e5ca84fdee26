"""A user's own source, as small as one can be: a bright square slides over a far wall, at an exact depth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from taskprompt import Clip, Map, Row, Sample, SampleError, Source

SIDES = ("left", "right")
RECIPE = {  # trains in a second
    "clip": {"frames": 4, "height": 32, "width": 32, "fps": 8},
    "sources": {
        "labelled": {"kind": "squares:Squares", "quota": 4, "only": ["action"]},
        "rendered": {"kind": "squares:Squares", "quota": 2, "only": ["depth"], "clips": 10},
    },
    "held_out": {"test": {"kind": "squares:Squares", "clips": 6}},
    "backbone": {"kind": "tiny", "dim": 32, "depth": 2, "heads": 2},
    "prompter": {"kind": "tokens"},
    "tasks": {
        "action": {"kind": "action", "classes": ["left", "right"]},
        "depth": {"kind": "depth", "height": 8, "width": 8},
    },
    "stages": [{"steps": 6, "lr": 1e-3}],
    "runtime": {"precision": "fp32"},
}


class Squares(Source):
    """A square that moves left or right, nearer than the wall behind it."""

    clips: int = 12
    broken: tuple[int, ...] = ()  # clips that cannot be read
    sparse: int = 1  # one clip in so many says which side it moves to
    nobody: bool = False  # no clip says which side it moves to
    wrong: tuple[int, ...] = ()  # clips whose loading has a mistake in its code
    wrong_while: str | None = None  # only while there is this file

    def own_labels(self) -> tuple[str, ...]:
        return ("action", "depth")

    def rows(self) -> Iterator[Row]:
        return ({"key": f"squares/{i}", "index": i} for i in range(self.clips))

    def load(self, row: Row, clip, moment) -> Sample:
        if row["index"] in self.broken:
            raise SampleError(f"{row['key']}: the file is empty. Record it again.")
        if row["index"] in self.wrong and (self.wrong_while is None or Path(self.wrong_while).exists()):
            raise ZeroDivisionError("a mistake")
        side = row["index"] % 2
        video = np.full((clip.frames, 32, 32, 3), 40, np.uint8)
        depth = np.full((clip.frames, 32, 32), 4.0, np.float32)
        for t in range(clip.frames):
            x = 8 + 2 * t if side else 16 - 2 * t
            video[t, 8:20, x : x + 10] = 220
            depth[t, 8:20, x : x + 10] = 1.0
        labels = {"depth": Map(depth)} | ({} if self.nobody or row["index"] % self.sparse else {"action": SIDES[side]})
        times = np.arange(clip.frames) / (clip.fps or 8.0)
        return Sample(row["key"], Clip(video, times), labels, flip_sensitive=True)
