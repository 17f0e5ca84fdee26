"""Retrieval: a meter of how often the right caption, or the right clip, is among the best of the whole set.

Import it where a meter is made: torchmetrics takes seconds to import, and workers that prepare data never measure."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

BEST = (1, 5)


class Retrieval(Metric):
    """`pair(output, target)` -> m d of clips, m d of captions: their products rank. Equal texts are all right."""

    clips: list[Tensor] | Tensor
    captions: list[Tensor] | Tensor
    texts: list[Tensor] | Tensor

    def __init__(self, pair: Callable[[Tensor, dict[str, Tensor]], tuple[Tensor, Tensor]]):
        super().__init__()
        self.pair = pair
        for name in ("clips", "captions", "texts"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, output: Tensor, target: dict[str, Tensor]) -> None:
        """m ..., m ...: add m samples."""
        for name, part in zip(("clips", "captions"), self.pair(output, target), strict=True):
            getattr(self, name).append(part)
        assert isinstance(self.texts, list)  # concatenated only by a reduction, after the last update
        self.texts.append(target["text"])

    def compute(self) -> dict[str, Tensor]:
        """t2v: captions looking for clips; v2t: the other way. R1_chance: of a guess. In 0..1; NaN without clips."""
        if not len(self.texts):
            return {name: torch.tensor(torch.nan) for name in ("t2v_R1", "t2v_R5", "v2t_R1", "v2t_R5", "R1_chance")}
        clips, captions, texts = (dim_zero_cat(x) for x in (self.clips, self.captions, self.texts))
        right = texts[:, None] == texts
        scores = captions @ clips.mT
        found = {}
        for way, ranked in (("t2v", scores), ("v2t", scores.mT)):
            for k in BEST:
                best = ranked.topk(min(k, len(texts)), 1).indices
                found[f"{way}_R{k}"] = right.gather(1, best).any(1).double().mean()
        return found | {"R1_chance": right.double().mean()}
