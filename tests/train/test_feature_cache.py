"""Features of a frozen encoder on disk: the same training, each clip encoded once, and never another's features."""

import pytest
import torch

import taskprompt as tp
from taskprompt.backbones.tiny import Tiny
from taskprompt.core.clip import ClipSpec
from taskprompt.recipe.files import validate
from taskprompt.train.feature_cache import FeatureCache

CLIP = ClipSpec(frames=4, height=32, width=32)
SPEC = Tiny(dim=32, depth=2, heads=2)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return SPEC.build(CLIP).eval().requires_grad_(False)


@pytest.fixture
def frozen(squares, tmp_path) -> dict:
    """Two stages; the second one freezes the encoder and keeps its features."""
    squares["augment"] = {"jitter": False, "scale": [1, 1], "flip": 0}
    squares["prompter"] = {"kind": "processors"}
    squares["sources"]["labelled"]["clips"] = 8
    squares["stages"] = [{"steps": 2}, {"steps": 8, "freeze": ["encoder"], "feature_cache": str(tmp_path / "kept")}]
    return squares


def videos(count: int) -> torch.Tensor:
    return torch.randint(256, (count, 4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def ask(keeper, encoder, pixels):
    """What it says, and how many clips the encoder was asked for."""
    asked = []
    said, prompts = keeper(lambda video: asked.append(len(video)) or encoder(video), pixels, pixels / 255)
    assert prompts is None
    return said, sum(asked)


def files(folder) -> list:
    return sorted(folder.rglob("*.safetensors"))


def test_each_clip_is_encoded_once(encoder, tmp_path):
    pixels = videos(5)
    whole = encoder(pixels / 255)[0]
    keeper = FeatureCache(tmp_path, SPEC, CLIP, encoder)
    assert ask(keeper, encoder, pixels[:3])[1] == 3
    said, asked = ask(keeper, encoder, pixels)
    assert asked == 2
    assert ask(FeatureCache(tmp_path, SPEC, CLIP, encoder), encoder, pixels.flip(0))[1] == 0
    torch.testing.assert_close(said.summary, whole.summary)
    torch.testing.assert_close(said.patches, whole.patches)
    assert len(said.levels) == len(whole.levels) == 3
    torch.testing.assert_close(said.levels, whole.levels)
    assert len(files(tmp_path)) == 5
    assert not list(tmp_path.rglob(".*"))


def test_never_another_encoders_or_number_formats(encoder, tmp_path):
    pixels = videos(2)
    ask(FeatureCache(tmp_path, SPEC, CLIP, encoder), encoder, pixels)
    with torch.autocast("cpu", torch.bfloat16):
        assert ask(FeatureCache(tmp_path, SPEC, CLIP, encoder), encoder, pixels)[1] == 2
    brighter = SPEC.model_copy(update={"mean": (0.0, 0.0, 0.0)})
    assert ask(FeatureCache(tmp_path, brighter, CLIP, encoder), encoder, pixels)[1] == 2
    with torch.no_grad():
        encoder.cls[0] += 1e-6
    assert ask(FeatureCache(tmp_path, SPEC, CLIP, encoder), encoder, pixels)[1] == 2


def test_a_damaged_file_is_made_anew(encoder, tmp_path):
    pixels = videos(2)
    before, _ = ask(FeatureCache(tmp_path, SPEC, CLIP, encoder), encoder, pixels)
    file = files(tmp_path)[0]
    file.write_bytes(file.read_bytes()[:1000])
    after, asked = ask(FeatureCache(tmp_path, SPEC, CLIP, encoder), encoder, pixels)
    assert asked == 1
    torch.testing.assert_close(after.patches, before.patches)


def test_a_folder_that_cannot_be_written(encoder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        tp.CheckpointError, match=r"feature_cache: .*file cannot be written: .*Not a directory.* Free disk "
    ):
        ask(FeatureCache(tmp_path / "file", SPEC, CLIP, encoder), encoder, videos(1))


def test_prompts_are_rejected(encoder, tmp_path):
    with pytest.raises(tp.SpecError, match="feature_cache: this prompter puts prompts into the encoder"):
        FeatureCache(tmp_path, SPEC, CLIP, encoder)(encoder, videos(1), videos(1) / 255, torch.zeros(1, 1, 32))


def test_training_is_the_same(frozen, tmp_path):
    """With features, without, and when they are there already; held-out clips are kept as well."""
    frozen["evaluate_every"] = 3

    def losses(name):
        done = tp.fit(validate(frozen, "r", tp.Recipe), tmp_path / name, cluster=None, watch=lambda record: None)
        tables = (done.lines("metrics.jsonl"), done.lines("held_out.jsonl"))
        return [{k: v for k, v in r.items() if k != "clips_per_s"} for table in tables for r in table]

    kept = losses("kept_run")
    there = {file: file.stat().st_mtime_ns for file in files(tmp_path / "kept")}
    assert len(there) == 2  # squares move left or right: the clips of a side are the same, and so are the held-out ones
    again = losses("again")
    assert {file: file.stat().st_mtime_ns for file in files(tmp_path / "kept")} == there
    del frozen["stages"][1]["feature_cache"]
    plain = losses("plain")
    for with_, without in ((kept, plain), (again, plain)):
        assert len(with_) == len(without)
        for a, b in zip(with_, without, strict=True):
            assert a == pytest.approx(b, rel=1e-3, nan_ok=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": {"freeze": []}}, "feature_cache: are kept of a frozen encoder alone. Add encoder to freeze"),
        ({"stages": {"mixup": 0.8}}, "feature_cache: clips that mixup blends never come again"),
        ({"augment": {"scale": [1, 1], "flip": 0}}, "the clips of 'labelled' are changed at random, so none comes"),
        (
            {"augment": {"jitter": False, "scale": [1, 1], "flip": 0.5}},
            "the clips of 'labelled' are changed at random, so none comes",
        ),
        ({"prompter": {"kind": "tokens"}}, "feature_cache: this prompter puts prompts into the encoder"),
        ({"runtime": {"parallel": "fsdp"}}, "feature_cache: cannot be kept where weights are sharded"),
    ],
)
def test_stages_that_cannot_keep_them(frozen, changes, words):
    frozen["stages"][1] |= changes.pop("stages", {})
    with pytest.raises(tp.RecipeError) as found:
        validate(frozen | changes, "r", tp.Recipe)
    assert found.value.problems[0].startswith("stages.1.feature_cache: ")
    assert words in found.value.problems[0]
