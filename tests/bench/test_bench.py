"""The benchmarks run, each way of theirs, and give figures; how good those are is for people to look at."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from taskprompt.bench.data import bench_data, data_recipe
from taskprompt.bench.model import WAYS, Facts, matrix_rate, operations, prepare, turn
from taskprompt.bench.ray_cost import bench_ray
from taskprompt.bench.scenes import bench_scenes
from taskprompt.bench.step import bench_step

pytestmark = pytest.mark.timeout(900)  # they start whole programs, several of each


def test_scenes_of_both_looks():
    found = bench_scenes(size=32, rounds=1)
    assert list(found) == ["clean", "worn"]
    assert all(rate > 1 for rate in found.values())


def test_models_at_full_size():
    """One training step each. 64.2 G multiply-adds (MViTv2, table 4), and prompts cost little."""
    cpu = torch.device("cpu")
    flops = {way: operations(way) for way in WAYS}
    assert round(flops["torchvision"] / 2e9, 1) == 64.2
    assert flops["torchvision"] < flops["taskprompt"] < flops["five prompts"] < 1.1 * flops["torchvision"]
    memory = {}
    for way in ("torchvision", "five prompts"):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            memory[way] = pool.submit(prepare, way, True, "cpu", 1, False, 2).result()
            assert pool.submit(turn).result() > 0
    assert 0.5e9 < memory["five prompts"] < memory["torchvision"]
    facts = Facts(2, {}, {}, memory, flops, rate=flops["torchvision"])
    assert facts.floor("torchvision") == 2
    assert matrix_rate(cpu) > 1e9


def test_data_of_both_sizes_three_ways():
    found = bench_data(workers=1, rounds=1, videos=2, span={"real": (8, 24), "tiny": (8, 24)})
    assert {case: list(ways) for case, ways in found.items()} == {
        "real": ["ray stream", "pyav loops", "dataloader"],
        "tiny": ["ray stream", "pyav loops", "dataloader"],
    }
    for ways in found.values():
        assert all(0 < w["low"] <= w["clips_per_s"] <= w["high"] for w in ways.values())


def test_ray_beside_the_plain_loop(tmp_path):
    recipe = data_recipe(tmp_path / "clips", videos=4, seconds=0.5, frames=4, height=32, width=32, workers=1)
    source = recipe.sources["clips"].model_copy(update={"quota": 2})
    its = recipe.model_copy(update={"sources": {"clips": source}})
    found = bench_ray(its, steps=2, rounds=1, clips=64, workers=(1,))
    assert list(found.step) == list(found.first_step) == list(found.memory) == ["plain", "1"]
    assert min(found.step.values()) > 0
    assert found.memory["1"] > found.memory["plain"] > 1e8
    assert found.first_step["plain"] < found.first_step["1"]
    assert found.bytes_a_clip["clip"] > 4 * 32 * 32 * 3
    assert found.bytes_a_clip["store"] > found.bytes_a_clip["clip"] / 2  # the smallest blocks travel with the answer
    assert found.clips["stream"] > 0


def test_step_both_ways(tmp_path):
    recipe = data_recipe(tmp_path / "clips", videos=4, seconds=0.5, frames=4, height=32, width=32, workers=1)
    found = bench_step(recipe, tmp_path / "runs", steps=2, rounds=1)
    assert min(found.values()) > 0
    assert found["ratio"] == found["ray train"] / found["plain"]
    assert len((tmp_path / "runs" / "round0" / "metrics.jsonl").read_text().splitlines()) == 3 + 2  # three to get warm
