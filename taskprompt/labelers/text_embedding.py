"""text_embedding: what a CLIP text tower makes of a clip's captions, pooled or token by token (FTP)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.labeler import Answer, Ask, Labeler, Question
from taskprompt.core.types import Sample
from taskprompt.labelers import _text_tower
from taskprompt.labelers._files import MODEL, digest, digests


class TextEmbedding(Labeler):
    """Embeddings of captions by a frozen open_clip text tower: NAME -> NAME_embedding, {text, vectors: n width}."""

    captions: tuple[str, ...] = Field(min_length=1)  # labels of the clips to embed: their own, or a table's
    model: str = "ViT-B-16-quickgelu"  # open_clip's name; local-dir:FOLDER has its open_clip_config.json and weights
    weights: str | None = None  # a file, or open_clip's tag (needs a network); null: those of local-dir, else random
    granularity: Literal["clip", "token"] = "clip"  # the pooled vector, or one a token, both in the joint space
    seed: int = Field(default=0, ge=0)  # of random weights
    batch: int = Field(default=256, ge=1)  # clips that an actor is handed at once

    def reads(self) -> tuple[str, ...]:
        """The captions."""
        return self.captions

    def labels(self) -> tuple[str, ...]:
        """One a caption; no file is read."""
        return tuple(f"{name}_embedding" for name in self.captions)

    def clip(self, clip: ClipSpec) -> None:
        """It reads, and looks at nothing."""
        return

    def questions(self) -> tuple[Question, ...]:
        """One a caption. A file of weights is known by what it holds."""
        asked: dict[str, Any] = {"model": self.model, "weights": self.weights, "granularity": self.granularity}
        if not self.weights and not self.model.startswith("local-dir:"):
            asked["seed"] = self.seed
        if self.weights and Path(self.weights).is_file():
            asked["weights"] = digest(Path(self.weights))
        if folder := self.model.partition("local-dir:")[2]:
            if not Path(folder, "open_clip_config.json").is_file():
                raise SpecError(
                    f"model: no open_clip_config.json in {folder!r}. Give the folder of an open_clip model."
                )
            asked["model"] = digests(Path(folder), MODEL)
        return tuple(Question(f"{name}_embedding", asked | {"caption": name}) for name in self.captions)

    def build(self) -> Ask:
        """Loads the tower."""
        return Tower(self)


class Tower:
    """ask(samples, labels wanted of each) -> label -> Answer, each."""

    def __init__(self, spec: TextEmbedding):
        import torch

        self.spec = spec
        self.device = torch.device("cuda" if torch.cuda.is_available() and spec.gpus else "cpu")
        self.model, self.tokenize = load_tower(spec)
        self.model.to(self.device)
        self.context = int(self.tokenize.context_length)

    def __call__(self, samples: Sequence[Sample], wanted: Sequence[Sequence[str]]) -> list[dict[str, Answer]]:
        """Each text is embedded once, however many clips have it."""
        answers: list[dict[str, Answer]] = [{} for _ in samples]
        texts: dict[str, None] = {}
        for sample, labels, found in zip(samples, wanted, answers, strict=True):
            for label in labels:
                text = sample.labels.get(label.removesuffix("_embedding"))
                if isinstance(text, str) and text.strip():
                    texts[text] = None
                else:
                    found[label] = Answer(error=f"no caption {label.removesuffix('_embedding')!r}")
        vectors = dict(zip(texts, self.embed(list(texts)), strict=True)) if texts else {}
        for sample, labels, found in zip(samples, wanted, answers, strict=True):
            for label in labels:
                if label not in found:
                    text = sample.labels[label.removesuffix("_embedding")]
                    array, tokens = vectors[text]
                    used = {"tokens": tokens, "truncated": tokens > self.context}
                    found[label] = Answer({"text": text, "vectors": array}, used=used)
        return answers

    def embed(self, texts: list[str]) -> list[tuple[np.ndarray, int]]:
        """n width, and how many tokens the whole text has, each; what lies beyond the context is cut off."""
        counts = _text_tower.lengths(self.tokenize, texts)
        ids = self.tokenize(texts).to(self.device)
        if self.spec.granularity == "clip":
            return list(zip(_text_tower.pooled(self.model, ids)[:, None], counts, strict=True))
        vectors = _text_tower.tokens(self.model, ids)
        return [(_text_tower.own(v, n, self.tokenize), n) for v, n in zip(vectors, counts, strict=True)]


def load_tower(spec: TextEmbedding) -> tuple[Any, Any]:
    """A frozen open_clip model and its tokenizer. Raises SpecError for what open_clip does not know or cannot load."""
    model, tokenize = _text_tower.load(spec.model, spec.weights, spec.seed)
    if spec.granularity == "token":
        _text_tower.check_tokens(model, spec.model)
    return model, tokenize
