"""`weights:` of a recipe and `convert`: public checkpoints start a run, give their heads, or are refused in a line."""

import json
import shutil

import pytest
import torch
from mvit_public import as_images, as_mmaction2, as_slowfast, reference
from safetensors import safe_open

import taskprompt as tp
from taskprompt.data.local import plain_chunks
from taskprompt.distributed.context import WorkerContext
from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import dump, validate
from taskprompt.runs import checkpoint
from taskprompt.train.job import Job
from taskprompt.weights.start import check_weights, starting_weights

CLIP = (8, 64, 64)
MVIT = {"kind": "mvit", "size": "tiny", "drop_path": 0.0}


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """torchvision's reference of 400 classes; its weights in k400.pyth as SlowFast writes them."""
    monkeypatch.chdir(tmp_path)
    model = reference(CLIP)
    save("k400.pyth", as_slowfast(model.state_dict()))
    return model


def save(name, tensors):
    torch.save({"epoch": 199, "model_state": tensors, "cfg": "MODEL:\n  NUM_CLASSES: 400\n"}, name)


@pytest.fixture
def recipe(squares):
    """A function: what `weights` says, changes -> the squares' recipe with mvit."""

    def make(weights, classes: int | list = 400, **changes) -> tp.Recipe:
        clip = dict(zip(("frames", "height", "width"), CLIP, strict=True))
        squares.update({"clip": clip, "backbone": MVIT, "weights": weights} | changes)
        squares["tasks"]["action"]["classes"] = classes
        return validate(squares, "r", tp.Recipe)

    return make


def loaded(recipe: tp.Recipe) -> tuple[tp.MultiTaskModel, tp.LoadReport]:
    model = build_model(recipe)
    tensors, report = starting_weights(recipe, model)
    model.load_state_dict(tensors, strict=False)
    return model.eval(), report


def logits(model: tp.MultiTaskModel, video: torch.Tensor) -> torch.Tensor:
    return model.heads["action"](None, model.encoder(video)[0])


def expected(theirs, video: torch.Tensor) -> torch.Tensor:
    return theirs(video.permute(0, 4, 1, 2, 3))


@pytest.mark.parametrize("classes", [400, 174])
@pytest.mark.parametrize("layout", ["slowfast", "mmaction2", "torchvision"])
@torch.no_grad()
def test_a_head_that_is_kept_gives_the_reference_s_logits(layout, classes, recipe, tmp_path):
    """Also by way of convert: the file is ours then, and needs nothing more."""
    model = reference(CLIP, classes)
    tensors = as_slowfast(model.state_dict()) if layout != "torchvision" else dict(model.state_dict())
    torch.save({"state_dict": as_mmaction2(tensors) if layout == "mmaction2" else tensors}, tmp_path / "a.pth")
    report = tp.convert(tmp_path / "a.pth", MVIT, tmp_path / "a.safetensors")
    assert (report.layout, report.head, report.missing, report.unexpected) == (
        layout,
        f"{classes} classes, kept",
        (),
        (),
    )
    video = torch.randn(1, *CLIP, 3)
    for file, found in (("a.pth", layout), ("a.safetensors", "taskprompt")):
        ours, report = loaded(recipe({"path": str(tmp_path / file), "head": "action"}, classes))
        assert (report.layout, report.head) == (found, f"{classes} classes, kept for task action")
        assert (logits(ours, video) - expected(model, video)).abs().max() < 1e-5


@torch.no_grad()
def test_a_head_that_is_replaced_starts_as_it_would_have(theirs, recipe):
    fresh = build_model(recipe(None, 11))
    ours, report = loaded(recipe({"path": "k400.pyth"}, 11))
    assert report.head == "400 classes, not loaded"
    assert len(report.matched) == len(ours.encoder.state_dict())
    before, after = fresh.state_dict(), ours.state_dict()
    moved = {n for n in before if not before[n].equal(after[n])}
    assert moved == {n for n in before if n.startswith("encoder.")}
    assert after["encoder.norm.bias"].equal(theirs.norm.bias)


@pytest.mark.parametrize(
    ("changes", "head", "words"),
    [
        ({"classes": 174}, "action", r"its classifier's linear.weight is 400 x 192, task 'action' needs 174 x 192"),
        ({}, "depth", r"its classifier has 2 tensors and the head of task 'depth' has \d\d, expected one linear layer"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(theirs, recipe, changes, head, words):
    with pytest.raises(tp.CheckpointError, match=f"^k400.pyth: {words}.*emove weights.head"):
        check_weights(recipe({"path": "k400.pyth", "head": head}, **changes))


def test_a_head_that_is_not_there(theirs, recipe):
    save("bare.pyth", {n: t for n, t in as_slowfast(theirs.state_dict()).items() if not n.startswith("head.")})
    with pytest.raises(tp.CheckpointError, match=r"^bare.pyth: has no classifier for task 'action'"):
        check_weights(recipe({"path": "bare.pyth", "head": "action"}))
    with pytest.raises(tp.RecipeError, match=r"weights.head: 'acton' is not one of .* Did you mean 'action'\?"):
        recipe({"path": "bare.pyth", "head": "acton"})


def test_images_are_inflated_as_asked(theirs, recipe):
    slowfast = as_slowfast(theirs.state_dict())
    save("image.pyth", as_images(slowfast))
    kernel = slowfast["patch_embed.proj.weight"][:, :, 1]
    for how, weight in (("centre", 1.0), ("mean", 1 / 3)):
        ours, report = loaded(recipe({"path": "image.pyth", "inflate": how}))
        assert len(report.inflated) == 16
        torch.testing.assert_close(ours.encoder.stem.weight[:, :, 1], kernel * weight)  # type: ignore[union-attr,index]
    fresh = build_model(recipe(None)).state_dict()
    new = {n for n in fresh if fresh[n].equal(ours.state_dict()[n]) and n.startswith("encoder.")}
    assert new == {f"encoder.{n}" for n in report.missing} == {"encoder.cls"} | {n for n in new if n.endswith("s.t")}


@torch.no_grad()
def test_a_converted_file_keeps_its_tables_until_a_clip_is_given(theirs, recipe):
    tp.convert("k400.pyth", MVIT, "same.safetensors")
    clip = tp.ClipSpec(frames=16, height=96, width=96)
    report = tp.convert("k400.pyth", MVIT, "large.safetensors", clip=clip)
    assert report.resized["blocks.0.attn.positions.h"] == ((31, 48), (47, 48))
    with safe_open("same.safetensors", "pt") as same, safe_open("large.safetensors", "pt") as large:
        name = "encoder.blocks.0.attn.positions.h"
        assert (len(same.get_tensor(name)), len(large.get_tensor(name))) == (31, 47)
        assert json.loads(same.metadata()["taskprompt"])["size"] == "tiny"
    change = {"clip": {"frames": 16, "height": 96, "width": 96}}
    direct = loaded(recipe({"path": "k400.pyth"}, **change))[0].state_dict()
    for file in ("same.safetensors", "large.safetensors"):
        found = loaded(recipe({"path": file}, **change))[0].state_dict()
        assert [n for n in direct if not found[n].equal(direct[n])] == []


@pytest.mark.slow
def test_another_architecture_is_refused_with_what_it_is(theirs, recipe, caplog):
    tp.convert("k400.pyth", MVIT, "k400.safetensors")
    other = {"kind": "tiny", "dim": 32}
    odd = {f"s1.pathway{i}_stem.conv.weight": torch.ones(1) for i in range(9)}
    save("resnet.pyth", odd)
    mixed = as_slowfast(theirs.state_dict())
    save("mixed.pyth", mixed | {"blocks.2.mlp.fc1.bias": torch.ones(7)})
    save("little.pyth", {n: t for n, t in mixed.items() if not n.startswith(("blocks.3", "blocks.4"))})
    cases = [
        ("k400.pyth", other, r"than \{kind: tiny, dim: 32\}: no layout of tiny \(taskprompt\) has names such as "),
        ("k400.safetensors", other, r"it was converted for kind mvit. It fits backbone \{kind: mvit, size: tiny\}.$"),
        ("k400.pyth", MVIT | {"size": "S"}, r"129 of .* such as cls: 1 x 1 x 48, not 96. .*\{.*size: tiny\}.$"),
        ("k400.pyth", MVIT | {"stride": [1, 4, 4]}, r"1 of its tensors have .*48 x 3 x 3 x 7 x 7, not 48 x 3 x 1 x 7"),
        (
            "resnet.pyth",
            MVIT,
            r"no layout of mvit \(taskprompt, slowfast, .*such as s\*.pathway\*_stem.conv.weight \(9\)",
        ),
        ("resnet.pyth", MVIT, r"None of .*mvit.* fits it with default options.$"),
        ("mixed.pyth", MVIT, r"1 of its tensors have another shape, such as blocks.2.mlp.up.bias: 7, not 384. None"),
        ("little.pyth", MVIT, r"it has 25% of the encoder's values, and lacks blocks.\*"),
    ]
    for file, backbone, words in cases:
        with pytest.raises(
            tp.CheckpointError, match=f"^{file}: is a checkpoint of another architecture .*{words}"
        ) as e:
            check_weights(recipe({"path": file}, backbone=backbone))
        assert "\n" not in str(e.value)
    assert caplog.messages == []  # building every kind to find the one that fits is nothing to warn of


def test_it_trains_resumes_without_the_file_and_says_what_it_loaded(theirs, recipe):
    told: list[tp.events.Event] = []
    start = {"stages": [{"steps": 2, "freeze": ["encoder"]}, {"steps": 2}], "save_every": 1}
    r = recipe({"path": "k400.pyth"}, ["left", "right"], **start)

    def stop(event):
        told.append(event)
        if isinstance(event, tp.events.Saved) and event.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tp.fit(r, "run", cluster=None, watch=stop)
    kept = checkpoint.read_tensors(tp.Run.open("run").checkpoint(), "model")
    assert kept["encoder.stem.weight"].equal(theirs.conv_proj.weight)
    shutil.move("k400.pyth", "elsewhere.pyth")
    resumed = tp.fit(r, "run", cluster=None, resume=True, watch=told.append)
    assert len(resumed.lines("metrics.jsonl")) == 4
    trained = checkpoint.read_tensors(resumed.checkpoint(), "model")["encoder.stem.weight"]
    assert 0 < (trained - theirs.conv_proj.weight).abs().max() < 0.01
    report = resumed.read("weights.json")
    assert (report["layout"], len(report["matched"]), report["head"]) == ("slowfast", 129, "400 classes, not loaded")
    assert [e.text for e in told if isinstance(e, tp.events.WeightsLoaded)] == [check_weights_text(r, "elsewhere.pyth")]
    assert "layout slowfast, for mvit" in (resumed.path / "log.txt").read_text()
    with pytest.raises(tp.CheckpointError, match=r"another recipe:\n  weights: found null"):
        tp.fit(r.model_copy(update={"weights": None}), "run", cluster=None, resume=True)
    with pytest.raises(tp.CheckpointError, match=r"^k400.pyth: there is no such file"):
        tp.fit(r, "run", cluster=None, fresh=True)
    assert resumed.checkpoint().exists()  # what cannot be replaced stays


def check_weights_text(recipe: tp.Recipe, path: str) -> str:
    """The report's text of the same file, which now lies at another path."""
    assert recipe.weights is not None
    moved = recipe.model_copy(update={"weights": recipe.weights.model_copy(update={"path": path})})
    report = check_weights(moved)
    assert report is not None
    return report.text().replace(path, recipe.weights.path)


def test_every_worker_starts_from_the_same(theirs, recipe, tmp_path):
    r = recipe({"path": "k400.pyth"}, ["left", "right"])
    states = []
    for rank in (0, 1):
        with tp.Run.start(tmp_path / f"run{rank}", r) as run:
            job = Job(run, r, WorkerContext(plain_chunks, rank=rank, workers=2))
            job.start()
            states.append(job.model_state())
            assert (run.path / "weights.json").exists() == (rank == 0)
            job.close()
    assert all(states[0][n].equal(states[1][n]) for n in states[0])
    assert states[0]["encoder.norm.weight"].equal(theirs.norm.weight)


def test_the_checkpoint_of_a_run_starts_another(theirs, recipe):
    """Its folder, or the file in it; a head of ours is told by its task's name."""
    r = recipe({"path": "k400.pyth"}, ["left", "right"], stages=[{"steps": 1, "ema": 0.5}])
    run = tp.fit(r, "run", cluster=None, watch=lambda record: None)
    folder = run.checkpoint()
    for path, group in ((folder, "ema"), (folder / "model.safetensors", "model")):
        ours, report = loaded(recipe({"path": str(path), "head": "depth"}, 5))
        assert (report.layout, report.missing) == ("taskprompt", ())
        assert report.head.endswith(" tensors, kept for task depth")
        assert set(report.unexpected) >= {"heads.action.linear.weight", "prompter.tokens.depth"}
        kept = checkpoint.read_tensors(folder, group)
        same = {n for n, t in ours.state_dict().items() if n in kept and t.equal(kept[n])}
        assert {n for n in kept if n.startswith(("encoder.", "heads.depth."))} <= same
        assert "heads.action.linear.weight" not in same


def test_without_weights_nothing_changes(recipe, squares, tmp_path):
    """No line of a recipe is needed, no file is written, and the model is that of the seed."""
    del squares["held_out"]
    r = recipe(None, ["left", "right"], stages=[{"steps": 1}])
    del squares["weights"]
    assert validate(squares, "r", tp.Recipe) == r
    assert "weights: null" in dump(r)
    assert check_weights(r) is None
    with tp.Run.start(tmp_path / "run", r) as run:
        job, fresh = Job(run, r, WorkerContext(plain_chunks)), build_model(r).state_dict()
        assert all(fresh[n].equal(t) for n, t in job.model_state().items())
        job.close()
    assert not (run.path / "weights.json").exists()


def test_convert_writes_once_and_whole(theirs, tmp_path):
    tp.convert("k400.pyth", MVIT, "k400.safetensors")
    with pytest.raises(tp.CheckpointError, match=r"^k400.safetensors: is there already. Choose another `out`"):
        tp.convert("k400.pyth", MVIT, "k400.safetensors")
    with pytest.raises(tp.CheckpointError, match=r"^nowhere/a.safetensors: cannot be written: "):
        tp.convert("k400.pyth", MVIT, "nowhere/a.safetensors")
    with pytest.raises(tp.RecipeError, match=r"siz: no such field. Did you mean 'size'"):
        tp.convert("k400.pyth", {"kind": "mvit", "siz": "S"}, "b.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k400.pyth", "k400.safetensors"]
