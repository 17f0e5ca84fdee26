"""Names, kernels and position tables of a checkpoint, each with an input by hand and a number by hand."""

import pytest
import torch
from torch import Tensor, nn

from taskprompt.backbones.tiny import Tiny
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import CheckpointError, SpecError
from taskprompt.core.layout import Layout, grid_of
from taskprompt.weights.file import Found
from taskprompt.weights.fit import fitting
from taskprompt.weights.match import inflated, match, resized
from taskprompt.weights.report import LoadReport, grouped

CLIP = ClipSpec(frames=4, height=16, width=16, fps=None)


class Named(Tiny):
    """tiny with a layout of its own, as another code base would name and keep its weights."""

    layouts = (
        Layout(
            "theirs",
            ("cls_token", "pos"),
            {r"cls_token$": "cls", r"layers\.(\d+)\.": r"blocks.\1.", r"ln\.": "norm.", r"fc\.": "head."},
            prefixes=("", "net."),
            unless=("time_token",),
            change=lambda tensors, own: {"place": grid_of(tensors.pop("pos")[0]), **tensors},
        ),
    )


def spec() -> Named:
    return Named(patch=(2, 8, 8), dim=32, depth=2, levels=())


def test_inflation_by_hand():
    kernel = torch.tensor([[[[3.0, 6.0]]]])
    assert inflated(kernel, 3, "centre").flatten().tolist() == [0, 0, 3, 6, 0, 0]
    assert inflated(kernel, 3, "mean").flatten().tolist() == [1, 2, 1, 2, 1, 2]
    assert inflated(kernel[:, :, None], 2, "centre").flatten().tolist() == [0, 0, 3, 6]  # o i 1 h w
    assert inflated(kernel, 3, "mean").shape == (1, 1, 3, 1, 2)


def test_an_inflated_kernel_sees_a_still_clip_as_the_image():
    kernel, image = torch.randn(4, 3, 5, 5), torch.randn(1, 3, 9, 9)
    expected = nn.functional.conv2d(image, kernel)
    for how in ("centre", "mean"):
        video = image[:, :, None].expand(-1, -1, 3, -1, -1)
        found = nn.functional.conv3d(video, inflated(kernel, 3, how))
        torch.testing.assert_close(found[:, :, 0], expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("axes", "old", "shape", "new"),
    [
        ("rows", [[0.0], [2.0], [4.0]], (5, 1), [[0.0], [0.8], [2.0], [3.2], [4.0]]),  # at (i + 1/2) 3/5 - 1/2
        ("t", [[0.0, 8.0], [4.0, 0.0]], (4, 2), [[0.0, 8.0], [1.0, 6.0], [3.0, 2.0], [4.0, 0.0]]),
        ("t", [[[[6.0]]], [[[2.0]]]], (1, 1, 1, 1), [[[[4.0]]]]),  # trailing axes of length 1, as in tiny
        ("h w", [[[7.0]] * 3] * 3, (2, 4, 1), [[[7.0]] * 4] * 2),  # a constant stays
    ],
)
def test_resizing_by_hand(axes, old, shape, new):
    torch.testing.assert_close(resized(torch.tensor(old), axes, shape), torch.tensor(new))


def test_h_and_w_are_resized_bicubically_and_t_linearly():
    """One row of ones, on twice the rows: the values of the cubic kernel (a = -3/4) at 1/4, 3/4, 5/4 and 7/4 rows."""
    table = torch.zeros(2, 8, 8, 1)
    table[0, 3] = 1
    found = resized(table, "t h w", (4, 16, 8, 1))
    assert found.shape == (4, 16, 8, 1)
    rows = torch.tensor([-0.03515625, -0.10546875, 0.26171875, 0.87890625, 0.87890625, 0.26171875])
    torch.testing.assert_close(found[0, 3:9, 0, 0], rows)
    torch.testing.assert_close(found[0, 3:9, 7, 0], rows)
    torch.testing.assert_close(found[:, 6, 5, 0], 0.87890625 * torch.tensor([1, 0.75, 0.25, 0]))
    assert resized(table, "t h w", (2, 8, 8, 1)).equal(table)


def theirs() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A file of the other code base, and the encoder's own tensors of which it was made."""
    torch.manual_seed(0)
    own = spec().build(CLIP).state_dict()
    names = {n: "net." + n.replace("blocks.", "layers.").replace("norm.", "ln.", n.startswith("norm.")) for n in own}
    found = {names[n]: t for n, t in own.items() if n not in ("cls", "place")}
    found |= {"net.cls_token": own["cls"][None, None], "net.pos": own["place"].flatten(0, 1)[None]}
    return found | {"fc.weight": torch.ones(5, 32), "fc.bias": torch.zeros(5), "teacher.w": torch.ones(1)}, own


def test_a_layout_renames_and_changes():
    found, own = theirs()
    done = match(found, spec().build(CLIP), spec())
    assert done is not None
    assert (done.layout.name, done.missing, done.unexpected) == ("theirs", [], ["teacher.w"])
    assert {n: t.shape for n, t in done.head.items()} == {"weight": (5, 32), "bias": (5,)}
    assert own.keys() == done.tensors.keys()
    assert all(done.tensors[n].equal(own[n]) for n in own)
    assert done.share == 1


def test_rows_become_a_grid_or_are_refused():
    assert grid_of(torch.zeros(9, 2)).shape == (3, 3, 2)
    rows = torch.arange(8.0)[:, None]
    assert grid_of(rows, frames=2)[1, 0, 1].item() == 5
    with pytest.raises(SpecError, match="its table has 8 positions, expected a square for each of 3 frames"):
        grid_of(rows, frames=3)
    found, _ = theirs()
    odd = Found(found | {"net.pos": torch.zeros(1, 5, 32)})
    words = r"^a.pth: does not fit \{kind: test_weights_match:Named, .*: its table has 5 positions, expected a square.$"
    with pytest.raises(CheckpointError, match=words):
        fitting(odd, "a.pth", spec(), spec().build(CLIP))


def test_what_has_another_shape_is_wrong_unless_it_is_a_table():
    _, own = theirs()
    larger = ClipSpec(frames=8, height=24, width=16, fps=None)
    done = match(own | {"norm.bias": torch.zeros(3)}, spec().build(larger), spec())
    assert done is not None
    assert done.layout.name == "taskprompt"
    assert done.wrong == {"norm.bias": ((3,), (32,))}
    assert done.resized == {"time": ((2, 32), (4, 32)), "place": ((2, 2, 32), (3, 2, 32))}
    kept = match(own, spec().build(larger), spec(), resize=False)
    assert kept is not None
    assert kept.tensors["place"].equal(own["place"])


def test_our_own_names_are_told_bare_and_in_a_model():
    _, own = theirs()
    encoder = spec().build(CLIP)
    bare = match(own, encoder, spec())
    whole = {f"encoder.{n}": t for n, t in own.items()}
    whole |= {"prompter.tokens.depth": torch.ones(1, 32), "heads.action.linear.weight": torch.ones(2, 32)}
    model = match(whole, encoder, spec(), task="action")
    assert bare is not None
    assert model is not None
    assert (bare.unexpected, bare.head, model.unexpected) == ([], {}, ["prompter.tokens.depth"])
    assert [*model.head] == ["linear.weight"]
    assert match({"weight": torch.ones(3)}, encoder, spec()) is None
    assert match({f"x.{n}": t for n, t in own.items()}, encoder, spec()) is None


def test_the_report_in_words():
    report = LoadReport(
        "a.pyth",
        "slowfast",
        "mvit",
        ("stem.weight", "norm.bias"),
        ("cls", *(f"blocks.{i}.norm.bias" for i in range(12))),
        ("pred_head.0.weight",),
        {"blocks.0.attn.positions.h": ((3, 4), (5, 4)), "blocks.1.attn.positions.h": ((3, 4), (5, 4))},
        {"stem.weight": ((2, 3, 7, 7), (2, 3, 3, 7, 7))},
        "400 classes, not loaded",
    )
    assert report.text() == (
        "a.pyth: layout slowfast, for mvit\n"
        "  matched    2 of 15 tensors\n"
        "  resized    blocks.*.attn.positions.h 3 x 4 -> 5 x 4 (2)\n"
        "  inflated   stem.weight 2 x 3 x 7 x 7 -> 2 x 3 x 3 x 7 x 7\n"
        "  missing    blocks.*.norm.bias (12), cls: randomly initialised\n"
        "  unexpected pred_head.*.weight: not loaded\n"
        "  head       400 classes, not loaded"
    )
    assert grouped("abcdefgh", most=3) == "a, b, c, and 5 more"
