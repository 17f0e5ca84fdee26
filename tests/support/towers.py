"""Small text towers of every class of open_clip, with random weights: its own configurations, made narrow."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    M2M100Config,
    MT5Config,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from taskprompt.core.labeler import Answer
from taskprompt.core.types import Clip, Sample
from taskprompt.labelers.text_embedding import TextEmbedding

WORDS = [
    "<pad>",
    "</s>",
    "<unk>",
    "<s>",
    "a",
    "man",
    "person",
    "figure",
    "walks",
    "runs",
    "to",
    "the",
    "left",
    "slowly",
]
WORDS += ["in", "red", "blue", "on", "jumps", "over", "box"]
TEXTS = [
    "a person walks slowly to the left",
    "a man in red jumps over the box",
    "a figure",
    "A man, in blue, runs!",
    "the man walks " * 60,  # beyond every context
]
BATCHES = ([0], [1, 2], [2, 3, 0], [4], [4, 2, 1, 3, 0])  # alone, and beside texts of other lengths
# One model for each way in which a text tower of open_clip is built, masked, pooled, projected and tokenized.
EVERY = (
    "ViT-B-32",  # causal, in the model itself
    "ViT-H-14-CLIPA",  # no mask, the last place, BERT's tokenizer
    "ViT-H-14-worldwide",  # causal, the place of the token that ends the text, a tokenizer of transformers
    "EVA02-B-16",  # causal, a module of its own
    "MobileCLIP2-S0",  # no mask, a module of its own
    "PE-Core-B-16",  # another context
    "ViT-B-16-SigLIP",  # no mask, the last place, a projection with bias
    "ViT-SO400M-16-SigLIP-i18n-256",  # no projection
    "coca_ViT-B-32",  # a class token behind the text
    "coca_roberta-ViT-B-32",  # CoCa with a tower of transformers
    "roberta-ViT-B-32",  # of transformers, mean of the tokens
    "xlm-roberta-base-ViT-B-32",
    "mt5-base-ViT-B-32",
    "nllb-clip-base",  # the first token
)


def build(name: str, folder: Path) -> str:
    """local-dir:folder, which holds such a model."""
    config: dict[str, Any] = open_clip.get_model_config(name)  # type: ignore[assignment]
    text = config["text_cfg"]
    config["embed_dim"] = 64 if text.get("proj_type") == "none" or "multimodal_cfg" in config else 32
    picture: dict[str, Any] = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    if text.get("hf_model_name"):
        _transformer(name).save_pretrained(folder)
        text |= {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder)}
        _tokenizer("<s> $A </s>").save_pretrained(folder)
    else:
        text |= {"width": 64, "heads": 2, "layers": 2}
    if text.get("hf_tokenizer_name") and not text.get("hf_model_name"):
        text |= {"hf_tokenizer_name": str(folder), "vocab_size": len(WORDS), "eos_id": 1}
        _tokenizer("$A </s>").save_pretrained(folder)
    if "multimodal_cfg" in config:
        picture |= {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
        config["multimodal_cfg"] |= {"width": 64, "heads": 2, "layers": 1, "attn_pooler_heads": 2}
    whole = {"model_cfg": config | {"vision_cfg": picture}, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(whole))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight.data, std=0.2)  # wide, so that all of a text matters
    save_model(model, str(folder / "open_clip_model.safetensors"))
    return f"local-dir:{folder}"


def samples(*texts: str | None) -> list[Sample]:
    """A sample without frames for each text, its label 'said'."""
    clip = Clip(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0))
    return [Sample(str(i), clip, {"said": text} if text is not None else {}) for i, text in enumerate(texts)]


def open_clip_s_own(model: str) -> np.ndarray:
    """text width: what open_clip makes of all TEXTS at once."""
    own, tokenize = open_clip.create_model(model, pretrained_text=False).eval(), open_clip.get_tokenizer(model)
    with torch.inference_mode():
        return own.encode_text(tokenize(TEXTS), normalize=True).numpy()  # type: ignore[operator]


def ours(model: str) -> Iterator[tuple[list[int], list[Answer]]]:
    """The labeler's answers to TEXTS in each of the BATCHES."""
    asked = TextEmbedding(captions=("said",), model=model, table="t").build()
    for batch in BATCHES:
        found = asked(samples(*(TEXTS[i] for i in batch)), [["said_embedding"]] * len(batch))
        yield batch, [one["said_embedding"] for one in found]


def _tokenizer(template: str) -> PreTrainedTokenizerFast:
    """A word is a token."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("</s>", 1), ("<s>", 3)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", **names)


def _transformer(name: str) -> Any:
    words: dict[str, Any] = {"vocab_size": len(WORDS), "pad_token_id": 0, "bos_token_id": 3, "eos_token_id": 1}
    if "mt5" in name:
        return MT5Config(d_model=64, d_kv=32, d_ff=128, num_layers=2, num_heads=2, **words)
    if "nllb" in name:
        heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
        wide = {"encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "encoder_layers": 2, "decoder_layers": 1}
        return M2M100Config(d_model=64, **heads, **wide, **words)  # type: ignore[arg-type]
    wide = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    kind = XLMRobertaConfig if "xlm" in name else RobertaConfig
    return kind(max_position_embeddings=90, **wide, **words)  # type: ignore[arg-type]
