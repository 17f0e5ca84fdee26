"""Text towers: open_clip's own embeddings, pooled and a token each; cut captions; what an answer depends on."""

import json

import numpy as np
import open_clip
import pytest
import torch
import towers
from safetensors.torch import save_file

from taskprompt.core.errors import LayoutError, SpecError
from taskprompt.labelers.text_embedding import TextEmbedding, load_tower

CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}
SAID = ["a person waves", "a person jumps over the box", "word " * 90]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small open_clip model as its hub layout has it: a config, and weights as safetensors."""
    folder = tmp_path_factory.mktemp("tower")
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    torch.manual_seed(3)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def ask(spec, *texts):
    return [
        found["said_embedding"] for found in spec.build()(towers.samples(*texts), [["said_embedding"]] * len(texts))
    ]


def test_pooled_embeddings_are_those_of_open_clip(folder):
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    with torch.inference_mode():
        ids = open_clip.get_tokenizer(f"local-dir:{folder}")(SAID)
        expected = model.encode_text(ids, normalize=True).numpy()  # type: ignore[operator]
    found = ask(TextEmbedding(captions=("said",), model=f"local-dir:{folder}", table="t"), *SAID)
    for answer, vector, text in zip(found, expected, SAID, strict=True):
        assert answer.value["text"] == text
        np.testing.assert_allclose(answer.value["vectors"][0], vector, atol=1e-6)
    assert [(a.used or {})["truncated"] for a in found] == [False, False, True]
    assert (found[0].used or {})["tokens"] == 5


def test_tokens_in_the_joint_space_end_with_the_pooled_vector(folder):
    options = {"captions": ("said",), "model": f"local-dir:{folder}", "table": "t"}
    pooled = ask(TextEmbedding(**options), *SAID)
    tokens = ask(TextEmbedding(**options, granularity="token"), *SAID)
    assert [len(a.value["vectors"]) for a in tokens] == [5, 8, 77]
    for one, all_of_them in zip(pooled, tokens, strict=True):  # CLIP pools the token that ends the text
        np.testing.assert_allclose(one.value["vectors"][0], all_of_them.value["vectors"][-1], atol=1e-5)


@pytest.mark.parametrize("name", towers.EVERY)
def test_towers_of_every_class_are_open_clip_s_own(name, tmp_path):
    """Alone, and in batches of other lengths: a vector depends on its text alone."""
    model = towers.build(name, tmp_path)
    expected = towers.open_clip_s_own(model)
    assert abs(expected[0] - expected[1]).max() > 0.05  # it tells texts apart
    for batch, answers in towers.ours(model):
        vectors = np.concatenate([a.value["vectors"] for a in answers])
        np.testing.assert_allclose(vectors, expected[batch], atol=5e-6)
        used = [a.used or {} for a in answers]
        assert [u["truncated"] for u in used] == [i == 4 for i in batch]
        assert [u["tokens"] for u, i in zip(used, batch, strict=True) if i == 2] in ([], [3], [4])


def test_tokens_of_a_tower_of_transformers_have_no_joint_space(tmp_path):
    model = towers.build("roberta-ViT-B-32", tmp_path)
    with pytest.raises(LayoutError, match="Set granularity: clip"):
        TextEmbedding(captions=("said",), model=model, table="t", granularity="token").build()


def test_what_an_answer_of_a_folder_depends_on(tmp_path):
    model = towers.build("ViT-B-16-SigLIP", tmp_path)
    asked = TextEmbedding(captions=("said",), model=model, table="t").questions
    before = asked()
    for name in ("spiece.model", "open_clip_pytorch_model.bin", "vocab.txt"):
        (tmp_path / name).write_bytes(b"x")
        assert asked() != before, name
        before = asked()


def test_a_clip_without_a_caption(folder):
    found = ask(TextEmbedding(captions=("said",), model=f"local-dir:{folder}", table="t"), None, " ", "a person")
    assert [a.error for a in found] == ["no caption 'said'", "no caption 'said'", ""]


def test_random_towers_are_their_seed(folder):
    options = {"captions": ("said",), "model": "ViT-S-32-alt", "table": "t"}
    one, again, other = (ask(TextEmbedding(**options, seed=s), "a dog")[0].value["vectors"] for s in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert abs(one - other).max() > 0.01


def test_what_an_answer_depends_on(folder, tmp_path):
    def asked(**options):
        return TextEmbedding(captions=("said",), table="t", **options).questions()[0].asked

    assert asked(model="ViT-B-32", seed=1) != asked(model="ViT-B-32")
    assert asked(model=f"local-dir:{folder}", seed=1) == asked(model=f"local-dir:{folder}")
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"a")
    first = asked(weights=str(weights))
    weights.write_bytes(b"b")
    assert asked(weights=str(weights)) != first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "ViT-B-31"}, "open_clip cannot load it"),
        ({"model": "ViT-S-32-alt", "weights": "nowhere.pt"}, "open_clip cannot load it"),
        ({"model": "local-dir:nowhere"}, "no open_clip_config.json"),
    ],
)
def test_towers_that_are_none(options, said):
    spec = TextEmbedding(captions=("said",), table="t", **options)
    with pytest.raises(SpecError, match=said):
        load_tower(spec) if spec.questions() else None
