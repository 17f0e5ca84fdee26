"""A real vision-language model of a quarter million random weights, as a folder of the hub's layout: an Idefics3.

    python tests/support/tiny_vlm.py FOLDER

A strip of `frames` square key frames becomes as many tiles of `TILE` pixels, and one of the whole. A token is a byte:
any text comes back as it went in. Weights are wide enough that its answers depend on picture and question."""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

TILE, PATCH, SHRINK, WIDTH, VOCABULARY = 56, 14, 2, 64, 320
MARKS = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"]
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]
TILES = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
TEMPLATE = """\
{%- for message in messages -%}
<|{{ message.role }}|>
{%- if message.content is string -%}{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == "text" -%}{{ part.text }}{%- else -%}<image>{%- endif -%}
{%- endfor -%}
{%- endif -%}</s>
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""


def build(folder: Path, frames: int, seed: int = 0) -> Path:
    """Write it into a folder, which is returned."""
    torch.manual_seed(seed)
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    wide = {"hidden_size": WIDTH, "num_attention_heads": 2, "num_hidden_layers": 2, "initializer_range": 0.3}
    text = LlamaConfig(
        vocab_size=VOCABULARY,
        intermediate_size=2 * WIDTH,
        num_key_value_heads=2,
        head_dim=WIDTH // 2,
        max_position_embeddings=2048,
        **wide,  # type: ignore[arg-type]
        **special,  # type: ignore[arg-type]
    )
    sight = {"intermediate_size": 2 * WIDTH, "image_size": TILE, "patch_size": PATCH, **wide}
    config = Idefics3Config(
        text_config=text,
        vision_config=sight,
        image_token_id=MARKS.index("<image>"),
        pad_token_id=0,  # type: ignore[call-arg]
        scale_factor=SHRINK,
    )
    model = Idefics3ForConditionalGeneration(config).float().eval()
    model.generation_config = GenerationConfig(**special)
    model.save_pretrained(folder)
    pictures = Idefics3ImageProcessorPil(size={"longest_edge": frames * TILE}, max_image_size={"longest_edge": TILE})
    Idefics3Processor(
        image_processor=pictures,
        tokenizer=bytes_as_tokens(),
        image_seq_len=(TILE // PATCH // SHRINK) ** 2,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def bytes_as_tokens() -> PreTrainedTokenizerFast:
    """A tokenizer that was trained on nothing."""
    words = MARKS + ROLES + TILES + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=MARKS[4:] + ROLES + TILES,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]), frames=5)
