"""Checkpoint files: what is read, and one clear line for what is not; nothing in a file is ever run."""

import argparse
import os
import pickle
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from taskprompt.core.errors import CheckpointError
from taskprompt.runs import checkpoint
from taskprompt.weights.file import read_weights

WEIGHTS = {"blocks.0.w": torch.arange(6.0).reshape(2, 3), "norm": torch.ones(2)}


class Intruder:
    """Unpickled, it makes a file in the working folder."""

    def __reduce__(self):
        return os.system, ("touch intruded",)


def same(found):
    return found.keys() == WEIGHTS.keys() and all(found[n].equal(WEIGHTS[n]) for n in WEIGHTS)


@pytest.mark.parametrize(
    "holds",
    [
        WEIGHTS,
        {"model_state": WEIGHTS, "epoch": 7, "optimizer_state": {"state": {0: {"step": 1}}}, "cfg": "TRAIN:\n  X: 1\n"},
        {"state_dict": {f"module.{n}": t for n, t in WEIGHTS.items()}, "meta": {"epoch": 3, "classes": ["a", "b"]}},
        {"model": {f"_orig_mod.module.{n}": t for n, t in WEIGHTS.items()}, "args": None},
        {"model": {"state_dict": WEIGHTS}},
        {"model": WEIGHTS, "optimizer": {"state": {}}, "args": argparse.Namespace(lr=1.5e-4, window_size=(8, 14, 14))},
    ],
    ids=["bare", "slowfast", "mmaction2", "compiled", "nested", "videomae"],
)
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_what_torch_saves_is_read(tmp_path, holds, new):
    torch.save(holds, tmp_path / "a.pyth", _use_new_zipfile_serialization=new)
    found = read_weights(tmp_path / "a.pyth")
    assert same(found.tensors)
    assert found.backbone == {}


def test_safetensors_and_the_folder_of_a_checkpoint(tmp_path):
    save_file(WEIGHTS, tmp_path / "a.anything", {"taskprompt": '{"kind": "mvit"}'})
    found = read_weights(str(tmp_path / "a.anything"))
    assert same(found.tensors)
    assert found.backbone == {"kind": "mvit"}
    folder = checkpoint.save(tmp_path / "run", 3, {"model": {"w": torch.zeros(1)}, "balance": {}}, {}, 1)
    assert read_weights(folder).tensors["w"].item() == 0
    folder = checkpoint.save(tmp_path / "run", 4, {"model": {"w": torch.zeros(1)}, "ema": {"w": torch.ones(1)}}, {}, 1)
    assert read_weights(folder).tensors["w"].item() == 1  # those that a run is measured with


def cut(name: str, holds, by: int, **options) -> None:
    save = save_file if name.endswith("safetensors") else torch.save
    save(holds, name, **options)
    with open(name, "rb") as file:
        data = file.read()
    with open(name, "wb") as file:
        file.write(data[:-by])


def dump(holds, protocol: int) -> None:
    with open("bad.pt", "wb") as file:
        pickle.dump(holds, file, protocol)


def zipped(**files: str) -> None:
    with zipfile.ZipFile("bad.pt", "w") as file:
        for name, text in files.items():
            file.writestr(name, text)


def write(data: bytes) -> None:
    with open("bad.pt", "wb") as file:
        file.write(data)


SAFE = "Look for a safetensors version; or, if you trust its author, save the state_dict in it alone"
BAD = {
    "missing": (lambda: None, "there is no such file, looked for from .*Give the path of a checkpoint"),
    "empty": (lambda: write(b""), "is empty. Copy it again"),
    "a page": (
        lambda: write(b"<html>Not Found</html>"),
        r"it begins with b'<html>Not Found<.*Expected safetensors, or",
    ),
    "cut off": (lambda: cut("bad.pt", WEIGHTS, 300), "is damaged or cut off: .*Copy it again"),
    "cut off, old": (
        lambda: cut("bad.pt", WEIGHTS, 9, _use_new_zipfile_serialization=False),
        "is damaged or cut off: unexpected EOF",
    ),
    "code": (lambda: dump({"w": Intruder()}, 2), f"more than tensors and plain data: posix.system. .*{SAFE}"),
    "code in a zip": (lambda: torch.save({"w": Intruder(), **WEIGHTS}, "bad.pt"), "plain data: posix.system"),
    "code, other pickle": (lambda: dump({"w": Intruder()}, 4), "or a pickle that torch.save did not write"),
    "a module": (lambda: torch.save(torch.nn.Linear(2, 2), "bad.pt"), "torch.nn.modules.linear.Linear. .*"),
    "options": (
        lambda: torch.save({"args": types.SimpleNamespace(a=1)}, "bad.pt"),
        "plain data: types.SimpleNamespace",
    ),
    "code in options": (
        lambda: torch.save({"model": WEIGHTS, "args": argparse.Namespace(a=Intruder())}, "bad.pt"),
        "plain data: posix.system",
    ),
    "numpy": (
        lambda: torch.save({"epoch": np.float64(1)}, "bad.pt"),
        r"plain data: numpy.*save the state_dict in it alone",
    ),
    "script": (lambda: torch.jit.script(torch.nn.Linear(2, 2)).save("bad.pt"), "is a TorchScript archive"),
    "a zip": (lambda: zipped(**{"notes.txt": "mine", "z.txt": ""}), "is a zip of other files, such as notes.txt"),
    "an empty zip": (zipped, "is a zip of other files, such as none"),
    "no tensors": (
        lambda: torch.save({"epoch": 3, "cfg": "x"}, "bad.pt"),
        "found a dictionary of epoch, cfg, expected",
    ),
    "an empty model": (lambda: torch.save({"model": {}}, "bad.pt"), "found a dictionary of model, expected"),
    "a list": (lambda: torch.save([torch.ones(1)], "bad.pt"), "found list, expected a dictionary of names and tensors"),
    "a folder": (
        lambda: Path("bad.pt").mkdir(),
        "is a folder without model.safetensors. Give a file, or a run's folder",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_what_cannot_be_read_is_one_line_and_never_run(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, words = BAD[case]
    make()
    with pytest.raises(CheckpointError, match=f"^bad.pt: .*{words}") as raised:
        read_weights("bad.pt")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "intruded").exists()
    assert len(BAD) == 19


def test_the_intruder_would_have_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Intruder()))
    assert (tmp_path / "intruded").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cut("bad.safetensors", WEIGHTS, 5), "is damaged or cut off: .*incomplete metadata"),
        (lambda: save_file({}, "bad.safetensors"), "holds no tensors. Expected safetensors, or"),
        (lambda: save_file(WEIGHTS, "bad.safetensors", {"taskprompt": "[1"}), "is damaged or cut off"),
    ],
)
def test_bad_safetensors(make, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make()
    with pytest.raises(CheckpointError, match=f"^bad.safetensors: {words}"):
        read_weights("bad.safetensors")


def test_an_address_is_not_a_file():
    with pytest.raises(CheckpointError, match=r"^s3://b/a.pyth: is a URI, and weights are read from local files"):
        read_weights("s3://b/a.pyth")
