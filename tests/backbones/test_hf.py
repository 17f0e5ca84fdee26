"""hf: outputs are those of transformers' classes, their files load by public names, what does not fit is refused."""

import json

import pytest
import torch
import transformers as tf
from hf_public import MODELS, theirs_of
from vit_public import as_hub, clip_of, draw_video, loaded, renamed

from taskprompt.backbones.hf import Hf
from taskprompt.core.errors import SpecError
from taskprompt.core.types import Dims
from taskprompt.prompters.shared import Shared
from taskprompt.prompters.tokens import Tokens

CLIP = clip_of(4, 32, 32)


def ours_of(model):
    return Hf(model=model, config=MODELS[model][0])


@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
def test_outputs_are_those_of_transformers(model):
    theirs = theirs_of(model)
    encoder, done = loaded(theirs.state_dict(), ours_of(model), CLIP)
    assert done.missing == []
    assert done.share == 1
    video = draw_video(CLIP, 2)
    features, none = encoder(video)
    pixels = video.movedim(-1, 2)
    assert none is None
    if model == "vjepa2":  # its classifier has blocks of its own; what it reads is the encoder's
        wanted = theirs.vjepa2.get_vision_features(pixels)
        assert (features.patches.flatten(1, 3) - wanted).abs().max() < 1e-5
        assert (features.summary - wanted.mean(1)).abs().max() < 1e-5
        return
    if model == "xclip":
        wanted = theirs(pixels.flatten(0, 1)).pooler_output.unflatten(0, (2, 4)).mean(1)
        assert (features.summary - wanted).abs().max() < 1e-5
        return
    logits = torch.nn.functional.linear(features.summary, done.head["weight"], done.head["bias"])
    assert (logits - theirs(pixels).logits).abs().max() < 1e-5
    assert logits.std() > 0.05


@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
def test_patches_and_levels_lie_where_they_are_in_the_clip(model):
    encoder, _ = loaded(theirs_of(model).state_dict(), ours_of(model), CLIP)
    video = draw_video(CLIP, 1)
    before, _ = encoder(video)
    assert len(before.levels) == 3
    t, h, w = 1, 2, 3
    changed = video.clone()
    tube, side = 4 // before.patches.shape[1], 8
    changed[:, t * tube : (t + 1) * tube, h * side : (h + 1) * side, w * side : (w + 1) * side] *= -1
    after, _ = encoder(changed)
    for x, y in zip((before.patches, *before.levels), (after.patches, *after.levels), strict=True):
        moved = (x - y).square().sum(-1)[0]
        assert divmod(int(moved.argmax()), 16) == (t, 4 * h + w)


def test_names_of_the_public_files():
    """transformers called some weights otherwise when the files were published."""
    theirs = theirs_of("vivit").state_dict()
    olden = [
        (r"vivit\.layers\.", "vivit.encoder.layer."),
        (r"\.attention\.q_proj\.", ".attention.attention.query."),
        (r"\.attention\.k_proj\.", ".attention.attention.key."),
        (r"\.attention\.v_proj\.", ".attention.attention.value."),
        (r"\.attention\.o_proj\.", ".attention.output.dense."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
    ]
    published = renamed(theirs, olden)
    assert published.keys().isdisjoint(n for n in theirs if "mlp" in n)
    encoder, done = loaded(published, ours_of("vivit"), CLIP)
    assert (done.missing, done.unexpected, sorted(done.head)) == ([], [], ["bias", "weight"])
    assert torch.equal(encoder.state_dict()["body.layers.1.mlp.fc2.weight"], theirs["vivit.layers.1.mlp.fc2.weight"])
    theirs = theirs_of("videomae").state_dict()
    published = as_hub(theirs)
    assert any(n.endswith("q_bias") for n in published)
    assert loaded(published, ours_of("videomae"), CLIP)[1].missing == []


def test_a_folder_with_its_configuration(tmp_path):
    config = tf.VivitConfig(**MODELS["vivit"][0])
    config.save_pretrained(tmp_path)
    assert Hf(model=str(tmp_path)).dims(CLIP) == ours_of("vivit").dims(CLIP)
    tf.XCLIPConfig(vision_config=MODELS["xclip"][0]).save_pretrained(tmp_path)
    assert Hf(model=str(tmp_path)).dims(CLIP) == ours_of("xclip").dims(CLIP)
    tf.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(SpecError, match="is a bert, expected one of videomae"):
        Hf(model=str(tmp_path)).dims(CLIP)
    (tmp_path / "config.json").write_text(json.dumps({"no": "type"}))
    with pytest.raises(SpecError, match="not a folder with config"):
        Hf(model=str(tmp_path)).dims(CLIP)


@pytest.mark.parametrize(
    ("changes", "clip", "why"),
    [
        ({"config": {"hidden_sise": 8}}, CLIP, r"config.hidden_sise: .* Did you mean 'hidden_size'"),
        ({}, clip_of(4, 32, 48), "expected a square"),
        ({}, clip_of(3, 32, 32), "multiples of the patch"),
        ({"model": "/nowhere/at/all"}, CLIP, "not a folder with config.json"),
    ],
)
def test_refuses(changes, clip, why):
    with pytest.raises(SpecError, match=why):
        Hf(**{"model": "videomae", **changes}).dims(clip)


@torch.no_grad()
def test_a_clip_of_one_frame_is_normed_as_others_are():
    one = clip_of(1, 32, 32)
    encoder, _ = loaded(theirs_of("xclip").state_dict(), ours_of("xclip"), one)
    frame = draw_video(one)
    wanted = encoder.body(frame.movedim(-1, 2).flatten(0, 1)).pooler_output
    assert (encoder(frame)[0].summary - wanted).abs().max() < 1e-5


def test_lets_no_prompts_in():
    dims = ours_of("videomae").dims(CLIP)
    assert not dims.accepts_prompts
    for prompter in (Tokens(), Shared()):
        with pytest.raises(SpecError, match="does not accept prompt tokens"):
            prompter.check(Dims(4, 32, 32, dims.grid, dims.dim, prompts={"depth": 1}, accepts_prompts=False))
