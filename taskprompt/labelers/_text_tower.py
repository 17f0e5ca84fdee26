"""Text towers of open_clip, of any class, with open_clip's own results.

Towers without a causal mask (SigLIP, MobileCLIP, CLIPA), with a token after the text (CoCa), and those of transformers
attend to the padding, or were trained with it: they always get the full context length."""

import copy
from typing import Any

import numpy as np

from taskprompt.core.errors import LayoutError, SpecError


def load(model: str, weights: str | None, seed: int) -> tuple[Any, Any]:
    """A frozen open_clip model and its tokenizer. Raises SpecError if open_clip cannot load it."""
    import open_clip
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        try:
            found = open_clip.create_model(model, pretrained=weights, weights_only=True, pretrained_text=False)
            tokenize = open_clip.get_tokenizer(model)
        except ImportError as error:
            raise SpecError(
                f"model {model!r}: its text tower or tokenizer is one of transformers ({error}). "
                "Install taskprompt[hf]."
            ) from None
        except Exception as error:  # open_clip, transformers and tokenizers raise errors of many classes
            why = " ".join(str(error).split())[:300] or type(error).__name__
            raise SpecError(f"model {model!r}, weights {weights!r}: open_clip cannot load it: {why}") from None
    if hasattr(tokenize, "reduction_fn"):
        setattr(tokenize, "reduction_fn", None)  # noqa: B010  drops tokens at random, for training
    del found.visual  # a few hundred megabytes that are not needed
    return found.eval().requires_grad_(False), tokenize


def lengths(tokenize: Any, texts: list[str]) -> list[int]:
    """Number of tokens of each text, including start and end tokens, before truncation to the context length."""
    if hasattr(tokenize, "encode"):  # open_clip's own; the others hold one of transformers
        return [len(tokenize.encode(text)) + 2 for text in texts]
    clips = getattr(tokenize, "tokenizer_mode", "") == "clips"  # which adds a start, an end, and one more token
    cleaned = [_cleaned(tokenize, text) for text in texts]
    ids = tokenize.tokenizer(cleaned, add_special_tokens=not clips, padding=False, truncation=False, verbose=False)
    return [len(row) + 3 * clips for row in ids["input_ids"]]


def _cleaned(tokenize: Any, text: str) -> str:
    from open_clip.tokenizer import basic_clean, canonicalize_text

    clean = getattr(tokenize, "clean_fn", None)  # SigLIP's tokenizer has none; it cleans within its call
    return clean(text) if clean else canonicalize_text(basic_clean(text))


def pooled(model: Any, ids: Any) -> np.ndarray:
    """n length -> n width: what open_clip's encode_text gives, normalised."""
    import torch

    model, ids = shortened(model, ids)
    with torch.inference_mode():
        return model.encode_text(ids, normalize=True).float().cpu().numpy()


def shortened(model: Any, ids: Any) -> tuple[Any, Any]:
    """The same vectors from a tower with shorter context, sharing the model's weights, if that is safe.

    In a causal tower a position depends only on those before it, so all after the last pooled one can be dropped.
    Captions have 10 to 40 of 77 tokens. Any other tower is returned unchanged."""
    import torch

    tower = getattr(model, "text", model)
    mask, table = getattr(tower, "attn_mask", None), getattr(tower, "positional_embedding", None)
    pool = getattr(tower, "text_pool_type", getattr(tower, "pool_type", None))
    if mask is None or table is None or pool not in ("argmax", "eos") or getattr(tower, "cls_emb", None) is not None:
        return model, ids
    if not torch.isneginf(mask).equal(torch.ones_like(mask).triu(1).bool()):
        return model, ids
    end = getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))
    places = ids.argmax(-1) if pool == "argmax" else (ids == end).int().argmax(-1)
    length = int(places.max()) + 1
    short = copy.copy(tower)
    short._parameters = {**tower._parameters, "positional_embedding": torch.nn.Parameter(table[:length], False)}
    short._buffers = {**tower._buffers, "attn_mask": mask[:length, :length]}
    if tower is model:
        return short, ids[:, :length]
    whole = copy.copy(model)
    whole._modules = {**model._modules, "text": short}
    return whole, ids[:, :length]


def check_tokens(model: Any, name: str) -> None:
    """Raises LayoutError for a tower that cannot project tokens to the joint space."""
    tower = getattr(model, "text", model)
    if not hasattr(tower, "text_projection") or not hasattr(tower, "ln_final"):
        raise LayoutError(f"model {name!r} has no text projection, which tokens need. Set granularity: clip.")


def tokens(model: Any, ids: Any) -> np.ndarray:
    """n length -> n length width: each token's vector in the space of the pooled one, normalised."""
    import torch

    tower = getattr(model, "text", model)
    with torch.inference_mode():
        found = model.forward_intermediates(
            text=ids, text_indices=1, normalize_intermediates=True, text_output_fmt="NLC"
        )["text_intermediates"][-1]
        projection = tower.text_projection
        if projection is not None:
            found = projection(found) if isinstance(projection, torch.nn.Module) else found @ projection
        return torch.nn.functional.normalize(found.float(), dim=-1).cpu().numpy()


def own(vectors: np.ndarray, count: int, tokenize: Any) -> np.ndarray:
    """length width -> n width: the vectors of a text's tokens, without padding."""
    count = min(count, len(vectors))
    left = getattr(getattr(tokenize, "tokenizer", None), "padding_side", "right") == "left"
    return vectors[len(vectors) - count :] if left else vectors[:count]
