"""Mean and std: those that come with the weights, those of the model that is named, or those of the recipe."""

import json

import pytest
import timm
import torch
import transformers as tf
from safetensors.torch import save_file
from towers_public import open_clip_folder

import taskprompt as tp
from taskprompt.core.errors import SpecError
from taskprompt.core.normalization import Normalization, beside, of_processor
from taskprompt.recipe.files import dump, validate
from taskprompt.weights.start import of_slowfast, pixels

HALF, GREY = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, {"image_mean": [0.45] * 3, "image_std": [0.225] * 3}
TRIO = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


@pytest.mark.parametrize(
    "processor",
    [
        tf.VideoMAEImageProcessor(),
        tf.VideoMAEImageProcessor(image_mean=[0.45] * 3, image_std=[0.225] * 3),
        tf.VideoMAEImageProcessor(do_rescale=False, image_mean=[120.0] * 3, image_std=[60.0] * 3),
        tf.VideoMAEImageProcessor(do_normalize=False),
        tf.VivitImageProcessor(),
        tf.VivitImageProcessor(do_normalize=False),
    ],
    ids=lambda p: f"{type(p).__name__} {p.do_normalize} {p.do_rescale} {p.image_mean[0]}",
)
def test_pixels_are_what_transformers_makes_of_them(processor, tmp_path):
    processor.do_resize = processor.do_center_crop = False
    processor.save_pretrained(tmp_path)
    stated = beside(tmp_path / "model.safetensors")
    assert stated is not None
    frames = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    wanted = processor(list(frames.numpy()), return_tensors="pt")["pixel_values"][0].movedim(1, -1)
    found = (frames / 255 - torch.tensor(stated.mean)) / torch.tensor(stated.std)
    assert (found - wanted).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("preprocessor_config.json", {"image_mean": TRIO["mean"], "image_std": TRIO["std"]}),
        ("video_preprocessor_config.json", {"image_mean": TRIO["mean"], "image_std": TRIO["std"]}),
        ("processor_config.json", {"image_processor": {"image_mean": TRIO["mean"], "image_std": TRIO["std"]}}),
        ("open_clip_config.json", {"model_cfg": {}, "preprocess_cfg": TRIO}),
        ("config.json", {"architecture": "vit_tiny_patch16_224", "pretrained_cfg": TRIO}),
        ("config.json", {"architecture": "vit_tiny_patch16_224", **TRIO}),
    ],
)
def test_what_lies_beside_the_weights(file, data, tmp_path):
    (tmp_path / file).write_text(json.dumps(data))
    wanted = Normalization((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), file)
    assert beside(tmp_path) == beside(tmp_path / "model.bin") == wanted


@pytest.mark.parametrize("data", [{"model_type": "vivit"}, {"model_type": "x", **TRIO}, {"pretrained_cfg": {}}, []])
def test_nothing_is_said(data, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(data))
    assert beside(tmp_path) is None
    assert beside(tmp_path / "nowhere" / "a.pth") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"image_mean": [0.5, 0.5], "image_std": [1, 1, 1]}',
            r"image_mean: found \[0.5, 0.5\], expected three numbers",
        ),
        ('{"image_mean": [0.5, 0.5, NaN], "image_std": [1, 1, 1]}', "expected three numbers"),
        ('{"image_mean": [0.5, 0.5, 1e999], "image_std": [1, 1, 1]}', "expected three numbers"),
        ('{"image_mean": "[0.5]", "image_std": [1, 1, 1]}', "expected three numbers"),
        ('{"image_mean": [true, 0, 0], "image_std": [1, 1, 1]}', "expected three numbers"),
        ('{"image_mean": [0, 0, 0], "image_std": [1, 0, 1]}', r"found std \[1, 0, 1\], expected numbers above 0"),
        ('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "rescale_factor": 0}', "rescale_factor is 0"),
        ("[" * 5000, "cannot be read as a configuration"),
        ('{"image_mean": [' + "9" * 5000 + "]}", "cannot be read as a configuration"),
        ("no json", "cannot be read as a configuration"),
    ],
)
def test_a_configuration_that_is_none_is_refused(text, words, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(SpecError, match=words):
        beside(tmp_path)


def test_one_number_stands_for_all_channels():
    found = of_processor({"image_mean": 0.5, "image_std": [0.25]}, "x")
    assert found == Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "x")


@pytest.fixture
def recipe(squares):
    """A function: backbone, other changes -> the squares' recipe with it, seen by no prompter."""

    def make(backbone: dict, **changes) -> tp.Recipe:
        clip = {"frames": 8, "height": 32, "width": 32}
        return validate(
            squares | {"backbone": backbone, "clip": clip, "prompter": {"kind": "none"}} | changes, "r", tp.Recipe
        )

    return make


def values(recipe: tp.Recipe) -> tuple[float, float]:
    return recipe.backbone.mean[0], recipe.backbone.std[0]


def test_timm_s_own(recipe):
    for name in ("vit_base_patch16_224", "vit_base_patch16_clip_224", "deit3_small_patch16_224"):
        config = timm.get_pretrained_cfg(name)
        assert config is not None
        made = recipe({"kind": "timm", "model": name})
        assert (made.backbone.mean, made.backbone.std) == (config.mean, config.std)
    assert values(recipe({"kind": "timm", "model": "vit_base_patch16_224.mae"})) == (0.485, 0.229)
    assert values(recipe({"kind": "timm", "model": "vit_base_patch16_224", "mean": [0, 0, 0]})) == (0, 0.5)
    with pytest.raises(tp.RecipeError, match=r"timm has no weights 'meo' of vit_base_patch16_224\. Did you mean 'mae'"):
        recipe({"kind": "timm", "model": "vit_base_patch16_224.meo"})


@pytest.mark.parametrize(("model", "mean"), [("videomae", 0.485), ("vivit", 0.5), ("timesformer", 0.45)])
def test_a_folder_s_own_or_what_its_type_has(model, mean, recipe, tmp_path):
    tf.AutoConfig.for_model(model, hidden_size=32, num_attention_heads=2).save_pretrained(tmp_path)
    for name in (model, str(tmp_path)):
        made = recipe({"kind": "hf", "model": name})
        assert values(made)[0] == mean
    assert "the usual values of" in pixels(made.backbone, made.normalization())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.7] * 3, "image_std": [0.2] * 3}))
    made = recipe({"kind": "hf", "model": str(tmp_path)})
    assert values(made) == (0.7, 0.2)
    said = "mean [0.7, 0.7, 0.7], std [0.2, 0.2, 0.2], as preprocessor_config.json says"
    assert pixels(made.backbone, made.normalization()) == said
    assert "- 0.7\n" in dump(made)


def test_the_folder_of_open_clip(recipe, tmp_path):
    name = open_clip_folder(tmp_path, TRIO)
    assert values(recipe({"kind": "clip", "model": name})) == (0.1, 0.4)


def test_weights_come_before_the_model_and_the_recipe_before_both(recipe, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(GREY))
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    weights = {"path": str(tmp_path / "model.safetensors")}
    plain = {"kind": "timm", "model": "vit_base_patch16_224"}
    assert values(recipe(plain, weights=weights)) == (0.45, 0.225)
    assert values(recipe(plain, weights={"path": str(tmp_path)})) == (0.45, 0.225)
    made = recipe(plain | {"std": [1, 1, 1]}, weights=weights)
    assert values(made) == (0.45, 1)
    said = pixels(made.backbone, made.normalization())
    assert said.endswith(
        "from the recipe; but preprocessor_config.json says mean [0.45, 0.45, 0.45], std [0.225, 0.225, 0.225]: "
        "set backbone.mean and std to use these"
    )
    assert validate(json.loads(json.dumps(made.model_dump(mode="json"))), "again", tp.Recipe) == made


def test_a_file_that_convert_wrote_and_a_run_s_checkpoint_say_it(recipe, tmp_path):
    note = {"kind": "vit", **TRIO}
    save_file({"w": torch.zeros(1)}, tmp_path / "a.safetensors", {"taskprompt": json.dumps(note)})
    stated = beside(tmp_path / "a.safetensors")
    assert stated is not None
    assert stated.mean == (0.1, 0.2, 0.3)
    step = tmp_path / "run" / "checkpoints" / "step-00000001"
    step.mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").write_text("backbone: {kind: vit, mean: [0.1, 0.2, 0.3], std: [1, 1, 1]}\n")
    (step / "model.safetensors").write_bytes(b"x" * 20)
    for place in (step, step / "model.safetensors"):
        assert beside(place) == Normalization((0.1, 0.2, 0.3), (1, 1, 1), "the recipe of its run")


def test_what_slowfast_s_files_say_is_told(recipe):
    config = "DATA:\n  INPUT_CHANNEL_NUM:\n  - 3\n  MEAN:\n  - 0.485\n  - 0.456\n  - 0.406\n  STD:\n" + "  - 0.5\n" * 3
    stated = of_slowfast(config)
    assert stated is not None
    assert (stated.mean, stated.std) == ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))
    assert of_slowfast("DATA:\n  MEAN: 3\n") is None
    made = recipe({"kind": "mvit", "size": "tiny"})
    assert "the default of mvit; but the configuration in it says mean [0.485" in pixels(made.backbone, stated)
