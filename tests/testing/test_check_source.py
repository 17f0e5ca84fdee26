"""check_source passes a source that keeps its promises, and names each broken one."""

from typing import ClassVar

import numpy as np
import pytest

from taskprompt.core.clip import ClipSpec
from taskprompt.core.moment import Part, Random
from taskprompt.core.source import Source
from taskprompt.core.types import Boxes, Clip, Map, Sample
from taskprompt.testing import check_source

CLIP = ClipSpec(frames=3, height=8, width=8, fps=4)


class Grey(Source):
    """Three grey clips; `fault` names the promise that is broken."""

    fault: str = ""
    listings: ClassVar[int] = 0

    def own_labels(self):
        return ("level",) if self.fault == "own_labels" else ("level", "boxes")

    def rows(self):
        type(self).listings += 1
        for i in range(3):
            key = "same" if self.fault == "keys" else f"{i}-{self.listings}" if self.fault == "listing" else str(i)
            yield {"key": key, "level": [i] if self.fault == "flat" else i}

    def load(self, row, clip, moment):
        level = int(moment.rng.integers(255)) if isinstance(moment, Random) else row["level"]
        if self.fault == "pure":
            level = int(np.random.default_rng().integers(2**31)) % 251
        shape = (clip.frames + (self.fault == "frames"), 10, 12, 3)
        video = np.full(shape, level, np.float32 if self.fault == "dtype" else np.uint8)
        times = np.arange(clip.frames) / 4
        if self.fault == "times":
            times = times[::-1]
        if self.fault in ("middle", "parts") and isinstance(moment, Part):
            times = times + {"middle": 5, "parts": moment.of - moment.index - 1}[self.fault]
        if self.fault == "row":
            row["seen"] = True
        boxes = Boxes(np.zeros((clip.frames, 2, 4)))
        labels = {"level": level, "boxes": Map(np.zeros((clip.frames, 8, 8))) if self.fault == "size" else boxes}
        return Sample("other" if self.fault == "key" else row["key"], Clip(video, times), labels)


def test_a_good_source_passes():
    check_source(Grey(), CLIP)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("own_labels", r"gives \['boxes'\], which `kept_labels` does not name"),
        ("keys", "duplicate key, such as 'same'"),
        ("listing", "two listings differ"),
        ("flat", "holds more than text and numbers"),
        ("pure", "gave two different samples"),
        ("frames", "4 frames, expected 3"),
        ("dtype", "the video is float32, expected uint8"),
        ("times", "times do not ascend"),
        ("row", "the row was changed"),
        ("middle", r"Part\(0, 1\) is not the middle of the video"),
        ("parts", "the three parts of the video begin at .*, out of order"),
        ("key", "the sample's key is 'other'"),
        ("size", r"label 'boxes' is 3 x 8 x 8, expected 3 x 10 x 12"),
    ],
)
def test_a_broken_promise_is_named(fault, words):
    with pytest.raises(AssertionError, match=words) as caught:
        check_source(Grey(fault=fault), CLIP)
    assert str(caught.value).splitlines()[0].startswith("Grey")
