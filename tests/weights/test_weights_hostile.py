"""Checkpoint files of any content: values are those of torch.load, and what is odd is refused in a line."""

import json
import random
import re
import resource

import pytest
import torch
from pickles import START, dictionary, integer, tensor, text, write
from safetensors.torch import save_file
from torch import nn

from taskprompt.core.errors import CheckpointError
from taskprompt.weights.file import read_weights


def various(new: bool) -> dict:
    """Tensors of many types, shared storages, strides, and plain data beside them."""
    torch.manual_seed(0)
    base = torch.randn(100)
    state = nn.Linear(3, 4).state_dict() | {
        "parameter": nn.Parameter(torch.randn(4)),
        "turned": torch.randn(3, 5).t(),
        "view": base[10:30].view(4, 5)[:, ::2],
        "base": base,
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3.0),
        "flags": torch.tensor([True, False]),
        **{str(t): torch.arange(3).to(t) for t in (torch.half, torch.bfloat16, torch.double, torch.int64, torch.int8)},
        **({"unsigned": torch.ones(2, dtype=torch.uint16)} if new else {}),  # of these, torch cannot read its old form
    }
    return {"model_state": state, "opt": {"state": {0: {"m": torch.ones(2)}}}, "set": {1}, "b": b"x", "n": 2**80}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_values_are_those_of_torch_load(new, tmp_path):
    torch.save(various(new), tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    wanted = torch.load(tmp_path / "a.pth", weights_only=True)["model_state"]
    found = read_weights(tmp_path / "a.pth").tensors
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        assert torch.equal(found[name], value)
    found["base"].zero_()
    assert torch.equal(read_weights(tmp_path / "a.pth").tensors["base"], wanted["base"])  # the file is never written


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_damaged_files_are_read_or_refused_in_a_line(new, tmp_path):
    torch.save(various(new), tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    good, draw, said = (tmp_path / "a.pth").read_bytes(), random.Random(7), []
    for _ in range(150):
        data = bytearray(good)
        at = draw.randrange(len(data) if draw.random() < 0.5 else 2000)
        match draw.randrange(3):
            case 0:
                data[at] = draw.randrange(256)
            case 1:
                del data[at:]
            case 2:
                data[at : at + draw.randrange(30)] = draw.randbytes(draw.randrange(30))
        (tmp_path / "a.pth").write_bytes(data)
        try:
            read_weights(tmp_path / "a.pth")
        except CheckpointError as error:
            said.append(str(error))
    assert 50 < len(said) < 150
    assert all(map(str.isprintable, said))


ONE = tensor((1,), (1,))
LAUGHS = integer(1) + b"".join(b"q\x00h\x00\x86" for _ in range(3000))  # a pair of a pair of ...: never to be hashed
LARGER = "its tensor w is larger than its data in the file"
HOSTILE = {
    "one number a million times": (dictionary({"w": tensor((10**6, 10**6), (0, 0))}), LARGER),
    "larger than its storage": (dictionary({"w": tensor((10**11,), (1,))}), LARGER),
    "a storage larger than the file": (dictionary({"w": tensor((10**11,), (1,), length=10**11)}), LARGER),
    "behind its storage": (dictionary({"w": tensor((1,), (1,), offset=2**40)}), LARGER),
    "a negative size": (dictionary({"w": tensor((-5,), (1,))}), "a tensor with an invalid shape"),
    "a shape past all numbers": (dictionary({"w": tensor((2**64,), (1,))}), "a tensor with an invalid shape"),
    "axes without end": (dictionary({"w": tensor((1,) * 1000, (1,) * 1000)}), "too many axes"),
    "a name of modules": (dictionary({"module." * 2000 + "a": ONE}), "has a tensor called module.module"),
    "a name of lines": (dictionary({"a\nb\x1b[31m": ONE}), r"has a tensor called 'a\\nb\\x1b\[31m'"),
    "a name that is no text": (START + b"}X\x03\0\0\0\xed\xa0\x80" + ONE + b"s.", r"has a tensor called '\\ud800'"),
    "a memo at 2^31": (START + b"}r\xff\xff\xff\x7f.", "found a dictionary of nothing"),
    "a terabyte of zeros": (START + b"cbuiltins\nbytearray\n" + integer(10**12) + b"\x85R.", "found opaque"),
    "a key that cannot be hashed in time": (START + b"}" + LAUGHS + b"K\x01s.", "found a dictionary of nothing"),
    "a dictionary in itself": (START + b"}q\x00" + text("model") + b"h\x00s.", "found a dictionary of model"),
    "ten thousand levels": (
        START + (b"}" + text("model")) * 10**4 + b"}" + b"s" * 10**4 + b".",
        "found a dictionary of model",
    ),
    "an integer of a million digits": (
        START + b"}\x8b" + (2**19).to_bytes(4, "little") + b"\x7f" * 2**19 + b"K\x01s.",
        "found a dictionary of int",
    ),
    "more parts than any model": (START + b"}0" * 600_000 + b".", "it has more parts than any model"),
    "a string longer than the file": (START + b"X\xff\xff\xff\xff.", "expected 4294967295 bytes"),
    "without end": (START + b"}", "pickle exhausted before seeing STOP"),
    "a function": (START + b"cos\n\x1b]0;x\x07system\n.", "more than tensors and plain data: os"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pickles(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle, words = HOSTILE[case]
    write("a.pth", pickle)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=f"^a.pth: .*{words}") as raised:
        read_weights("a.pth")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KB: less than 1 GiB


def test_a_compressed_entry_is_refused(tmp_path):
    write(tmp_path / "a.pth", START + b"}" * 10**6 + b".", compressed=True)
    with pytest.raises(CheckpointError, match=r"a/data.pkl is missing, or compressed"):
        read_weights(tmp_path / "a.pth")


def test_an_archive_of_a_later_version_of_zip_is_refused(tmp_path):
    write(tmp_path / "a.pth", START + b"}.")
    data = bytearray((tmp_path / "a.pth").read_bytes())
    data[data.index(b"PK\1\2") + 6] = 99  # in the directory of the archive: the version that is needed to read it
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"damaged or cut off: zip file version 9.9. Copy it again"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("note", ["[" * 5000, "9" * 5000, "[[1, 2]]", "3", '{"kind": '])
def test_notes_of_safetensors(note, tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "a.safetensors", {"taskprompt": note})
    with pytest.raises(CheckpointError, match="is damaged or cut off"):
        read_weights(tmp_path / "a.safetensors")


def shards(folder, ending: str = ".safetensors", **changes: str) -> str:
    """Two tensors in two files, and their index."""
    names = {n: f"model-0000{i}-of-00002{ending}" for i, n in enumerate(("a", "b"), 1)}
    for n, file in names.items():
        tensors = {n: torch.full((2,), float(ord(n)))}
        save_file(tensors, folder / file) if ending == ".safetensors" else torch.save(tensors, folder / file)
    index = f"{'model.safetensors' if ending == '.safetensors' else 'pytorch_model.bin'}.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": names | changes}))
    return index


@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_shards_are_read_together(ending, tmp_path):
    index = shards(tmp_path, ending)
    for place in (tmp_path, tmp_path / index):
        found = read_weights(place).tensors
        assert {n: t.tolist() for n, t in found.items()} == {"a": [97.0, 97.0], "b": [98.0, 98.0]}
    alone = tmp_path / f"model-00001-of-00002{ending}"
    with pytest.raises(CheckpointError, match=r"is one of 2 files of a checkpoint\. (Give|Copy)"):
        read_weights(alone)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"c": "model-00002-of-00002.safetensors"}, "lists c in model-00002-of-00002.safetensors, which lacks it"),
        ({"c": "model-00003-of-00002.safetensors"}, "model-00003-of-00002.safetensors is missing in its folder"),
        ({"c": "../model.safetensors"}, "expected one in the same folder"),
        ({"c": "/etc/passwd"}, "expected one in the same folder"),
        ({"c": "model.safetensors.index.json"}, "names the index .* as a file of tensors"),
    ],
)
def test_an_index_that_is_wrong(changes, words, tmp_path):
    index = shards(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=words):
        read_weights(tmp_path / index)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "[" * 5000])
def test_an_index_that_is_none(text, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match="is not an index of a checkpoint"):
        read_weights(tmp_path)


def test_of_several_sets_of_weights_one_is_taken_and_told(tmp_path):
    file, plain, average = tmp_path / "a.pth", {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    torch.save({"epoch": 3, "state_dict_ema": average, "state_dict": plain, "best": {"x": 1}}, file)
    found = read_weights(file)
    assert (found.tensors["w"].item(), found.entry, found.others) == (0, "state_dict", ("state_dict_ema",))
    found = read_weights(file, "state_dict_ema")
    assert (found.tensors["w"].item(), found.entry, found.others) == (1, "state_dict_ema", ("state_dict",))
    with pytest.raises(CheckpointError, match=r"has no weights named ema. It has: state_dict_ema, state_dict\."):
        read_weights(file, "ema")
    torch.save({"encoder": plain, "target_encoder": average}, file)
    with pytest.raises(CheckpointError, match=r"several sets of weights: encoder, target_encoder\. Choose one"):
        read_weights(file)
    assert read_weights(file, "target_encoder").tensors["w"].item() == 1
    torch.save({"model_ema": average, "epoch": 1}, file)
    assert read_weights(file).entry == "model_ema"
    save_file(plain, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=re.escape("has one set of weights, not named ema")):
        read_weights(tmp_path / "a.safetensors", "ema")
