"""text_embedding: embeddings of a clip's captions by a CLIP text tower, pooled or per token (FTP)."""

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

    captions: tuple[str, ...] = Field(min_length=1)  # labels of the clips to embed, of a source or a table
    model: str = "ViT-B-16-quickgelu"  # open_clip's name, or local-dir:FOLDER with open_clip_config.json and weights
    weights: str | None = None  # a file, or open_clip's tag (needs a network); null: those of local-dir, else random
    granularity: Literal["clip", "token"] = "clip"  # the pooled vector, or one per token, both in the joint space
    seed: int = Field(default=0, ge=0)  # of random weights
    batch: int = Field(default=256, ge=1)  # clips that are passed to an actor at once

    def reads(self) -> tuple[str, ...]:
        """The captions."""
        return self.captions

    def labels(self) -> tuple[str, ...]:
        """One per caption; no file is read."""
        return tuple(f"{name}_embedding" for name in self.captions)

    def clip(self, clip: ClipSpec) -> None:
        """None: it reads no frames."""
        return

    def questions(self) -> tuple[Question, ...]:
        """One per caption. A file of weights is identified by its content."""
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
        """Load the tower."""
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
        """Each distinct text is embedded once."""
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
        """n width, and the number of tokens of the full text, each; texts are truncated to the context length."""
        counts = _text_tower.lengths(self.tokenize, texts)
        ids = self.tokenize(texts).to(self.device)
        if self.spec.granularity == "clip":
            return list(zip(_text_tower.pooled(self.model, ids)[:, None], counts, strict=True))
        vectors = _text_tower.tokens(self.model, ids)
        return [(_text_tower.own(v, n, self.tokenize), n) for v, n in zip(vectors, counts, strict=True)]


def load_tower(spec: TextEmbedding) -> tuple[Any, Any]:
    """A frozen open_clip model and its tokenizer. Raises SpecError if open_clip cannot load it."""
    model, tokenize = _text_tower.load(spec.model, spec.weights, spec.seed)
    if spec.granularity == "token":
        _text_tower.check_tokens(model, spec.model)
    return model, tokenize
