"""A real vLLM engine with a real, tiny model: in an actor through Ray Data, beside transformers, and as a server.

The engine lives in an environment of its own, .venv-vllm, which `make test` builds."""

import copy
import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from ports import free_port

import taskprompt as tp
from taskprompt.core.errors import SampleError
from taskprompt.core.moment import Middle
from taskprompt.labelers._answers import line
from taskprompt.labelers.vlm_caption import strip
from taskprompt.labels import table as label_table
from taskprompt.recipe.files import validate

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
READY = ROOT / ".venv-vllm" / ".ready"
pytestmark = pytest.mark.skipif(not READY.exists(), reason="there is no .venv-vllm: `make engine` could not build it")

TILE = 56
ENGINE = {
    "dtype": "float32",
    "max_model_len": 512,
    "max_num_seqs": 8,
    "enforce_eager": True,
    "gpu_memory_utilization": 0.1,  # of the memory, on a CPU
    "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
}
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
BOOLEAN = {
    "type": "object",
    "properties": {"moves": {"type": "boolean"}},
    "required": ["moves"],
    "additionalProperties": False,
}
PROMPTS = {
    "said": {"text": "What is the action category?", "max_tokens": 12},
    "moves": {"text": "Does it move?", "max_tokens": 40, "json_schema": BOOLEAN},
    "long": {"text": "word " * 200, "max_tokens": 4},  # over the context of 512 bytes
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from tiny_vlm import build

    return build(tmp_path_factory.mktemp("vlm"), frames=3)


def recipe(squares: dict, table: Path, **engine) -> dict:
    captions = {"kind": "vlm_caption", "table": str(table), "sources": ["labelled"], "keyframes": 3, "batch": 8}
    squares["labelers"] = {
        "captions": captions | {"height": TILE, "width": TILE, "prompts": copy.deepcopy(PROMPTS)} | engine
    }
    squares["sources"]["labelled"] |= {"broken": [5]}
    return squares


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="module")
def answered(model, tables):
    """What the engine answered in an actor: (counts, the recipe, rows by clip and label)."""
    from squares import RECIPE

    vllm = {"model": str(model), "args": ENGINE, "parameters": {"repetition_penalty": 1.0}}
    whole = recipe(copy.deepcopy(RECIPE), tables / "actor", vllm=vllm, python=str(PYTHON))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)  # workers of a local Ray inherit it
        patch.setenv("PYTHONPATH", f"{ROOT / 'tests' / 'support'}{os.pathsep}{ROOT}")
        counts = tp.label(validate(whole, "r", tp.Recipe), watch=lambda record: None)["captions"]
        yield counts, whole, rows_of(tables / "actor")


def rows_of(table: Path) -> dict:
    return {(row["key"], row["label"]): row for row in label_table.read(table).to_pylist()}


def test_in_an_actor_through_ray_data(answered):
    counts, _, rows = answered
    assert (counts["clips"], counts["made"], counts["failed"]) == (12, 22, 14)
    said = {row["value"] for (_, label), row in rows.items() if label == "said" and not row["error"]}
    assert len(said) >= 2  # the model sees the picture
    moves = [json.loads(r["value"]) for (_, label), r in rows.items() if label == "moves" and not r["error"]]
    assert len(moves) == 11
    assert all(set(answer) == {"moves"} and isinstance(answer["moves"], bool) for answer in moves)
    used = json.loads(rows["squares/0", "said"]["used"])
    assert 0 < used["written"] <= 12
    assert used["tokens"] > used["written"] + len(PROMPTS["said"]["text"])


def test_a_broken_clip_and_a_long_prompt_are_rows(answered):
    _, _, rows = answered
    assert {row["error"] for (key, _), row in rows.items() if key == "squares/5"} == {
        "squares/5: the file is empty. Record it again."
    }
    assert "maximum context length is 512" in rows["squares/0", "long"]["error"]
    assert all(row["value"] is None for row in rows.values() if row["error"])


def test_answers_are_those_of_transformers(answered, model):
    """Greedy, token by token, with the same weights, picture and template."""
    import torch
    from squares import Squares
    from tiny_vlm import bytes_as_tokens
    from transformers import Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    from taskprompt.core.clip import ClipSpec

    _, whole, rows = answered
    processor = Idefics3Processor(
        image_processor=Idefics3ImageProcessorPil.from_pretrained(model),
        tokenizer=bytes_as_tokens(),
        image_seq_len=4,
        chat_template=(model / "chat_template.jinja").read_text(),
    )
    other = Idefics3ForConditionalGeneration.from_pretrained(model).eval()
    clip = ClipSpec(frames=3, height=TILE, width=TILE, fps=None)
    assert validate(whole, "r", tp.Recipe).labelers["captions"].clip(ClipSpec()) == clip
    source = Squares(broken=(5,))
    agreed = 0
    for row in source.rows():
        try:
            video = source.load(row, clip, Middle()).clip.video
        except SampleError:
            continue
        content = [{"type": "image"}, {"type": "text", "text": PROMPTS["said"]["text"]}]
        message: Any = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(message, add_generation_prompt=True)
        inputs = processor(
            text=text,  # type: ignore[arg-type]
            images=[Image.fromarray(strip(video, TILE, TILE))],
            return_tensors="pt",  # type: ignore[call-arg]
        )
        with torch.inference_mode():
            ids = other.generate(**inputs, do_sample=False, max_new_tokens=12)  # type: ignore[attr-defined]
            ids = ids[0, inputs["input_ids"].shape[1] :]
        expected = line(processor.tokenizer.decode(ids, skip_special_tokens=True))
        agreed += json.loads(rows[row["key"], "said"]["value"]) == expected
    assert agreed == 11


def test_as_a_server(answered, model, tables, squares, tmp_path):
    """The same answers through HTTP, in pictures and structured ones too; what it refuses is a row."""
    _, _, rows = answered
    log = (tmp_path / "log").open("w")
    port = free_port()
    arguments = ["--model", str(model), "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)]
    arguments += ["--dtype", "float32", "--max-model-len", "512", "--max-num-seqs", "8", "--enforce-eager"]
    arguments += ["--structured-outputs-config", json.dumps(ENGINE["structured_outputs_config"])]
    server = subprocess.Popen(
        [PYTHON, "-m", "vllm.entrypoints.openai.api_server", *arguments, "--limit-mm-per-prompt", '{"image": 1}'],
        env=os.environ | QUIET | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
        stdout=log,
        stderr=log,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, tmp_path / "log")
        speaks = {"url": f"http://127.0.0.1:{port}/v1", "model": "tiny", "timeout": 60}
        whole = recipe(squares, tables / "server", server=speaks)
        counts = tp.label(validate(whole, "r", tp.Recipe), watch=lambda record: None)["captions"]
    finally:
        server.terminate()
        server.wait(30)
    assert (counts["made"], counts["failed"]) == (22, 14)
    found = rows_of(tables / "server")
    assert "maximum context length is 512" in found["squares/0", "long"]["error"]
    same = [found[at]["value"] == row["value"] for at, row in rows.items() if not row["error"] and at[0] != "squares/5"]
    assert len(same) == 22
    assert np.mean(same) == 1


def test_the_recipe_with_captions(model, tmp_path, monkeypatch):
    """recipes/ftp/captioned.yaml, smaller: the engine answers, the text tower embeds, and both stages train on it.
    Nothing is asked twice. Its environment has no taskprompt, and from this folder finds none: it must travel."""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    changes = {"VLM": str(model), "VLLM_PYTHON": str(PYTHON), "LABELS": str(tmp_path / "labels")}
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    few = {"clips": 4, "cache": None}
    small = {
        "extends": str(ROOT / "recipes" / "ftp" / "captioned.yaml"),
        "clip": {"frames": 4, "height": 32, "width": 32},
        "sources": {"captioned": few | {"quota": 4}, "real": few | {"quota": 2}},
        "held_out": {"test": few},
        "weights": None,
        "labelers": {"seen": {"keyframes": 3, "vllm": {"args": {"dtype": "float32", "enforce_eager": True}}}},
        "stages": {0: {"steps": 2, "warmup": 0}, 1: {"steps": 2, "warmup": 0}},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    counts = tp.label(tmp_path / "small.yaml", watch=lambda record: None)
    assert {name: (found["made"], found["failed"]) for name, found in counts.items()} == {
        "seen": (32, 0),
        "seen_embeddings": (32, 0),
    }
    again = tp.label(tmp_path / "small.yaml", watch=lambda record: None)
    assert {name: (found["there"], found["made"]) for name, found in again.items()} == dict.fromkeys(counts, (32, 0))
    run = tp.fit(tmp_path / "small.yaml", tmp_path / "run", cluster=None, watch=lambda record: None)
    trained = [{key.removeprefix("loss/") for key in line if "loss/" in key} for line in run.lines("metrics.jsonl")]
    assert trained == [{"category", "components", "detail", "context"}] * 2 + [{"action"}] * 2


def wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    pytest.fail("\n".join(log.read_text().splitlines()[-20:]))
