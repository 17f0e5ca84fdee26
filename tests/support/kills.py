"""Random ends of workers, drivers and nodes of a two-node cluster on this machine, each gone on from to equal weights.

    python tests/support/kills.py 20 /tmp/kills

Takes about a minute each, so it is run by hand; tests/runtime/test_failures.py holds a worker's and a driver's. Equal
are the weights, the averaged weights, every step's loss, and the keys of every step's clips."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
HEAD = {"num_cpus": 2, "object_store_memory": 256 << 20}
NODE = {"num_cpus": 4, "object_store_memory": 256 << 20}  # the larger one, so it gets the training workers
STEPS = 200
KINDS = ("node", "worker", "driver", "raise")


def children(root: int) -> dict[int, str]:
    """pid -> command line of every process below one."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                lines[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
    found, grown = {root}, True
    while grown:
        more = {p for p, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return {p: lines[p] for p in found if p in lines}


def drive(recipe: Path, out: Path, address: str, *more: str) -> subprocess.Popen:
    """A driver of its own, with what it prints beside the run."""
    command = [Path(sys.executable).with_name("taskprompt"), "fit", recipe, "--out", out, "--cluster", address, *more]
    return subprocess.Popen(command, stdout=open(out.with_suffix(".txt"), "a"), stderr=subprocess.STDOUT)


def steps(out: Path) -> int:
    file = out / "metrics.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


def ending(out: Path):
    from taskprompt.runs import checkpoint
    from taskprompt.runs.run import Run

    run = Run(out)
    groups = ("model", "ema")
    tensors = {f"{g}/{k}": v for g in groups for k, v in checkpoint.read_tensors(run.checkpoint(), g).items()}
    return tensors, [(r["step"], r["loss"]) for r in run.lines("metrics.jsonl")], run.lines("clips.jsonl")


def check_clips(lines) -> None:
    """No clip twice and none left out: of every source all came before one came again."""
    assert [r["step"] for r in lines] == list(range(1, STEPS + 1))
    for source, clips in (("labelled", 12), ("rendered", 10)):
        keys = [k for r in lines for k in r["clips"][source]]
        times = [keys.count(k) for k in set(keys)]
        assert len(times) == clips
        assert max(times) - min(times) <= 1


def failing(data: dict, file: Path, at: int) -> Path:
    """The recipe with a task that raises once, at a step."""
    depth = data["tasks"]["depth"] | {"kind": "mortal:Mortal", "label": "depth", "after": at, "raises": True}
    file.write_text(yaml.safe_dump(data | {"tasks": data["tasks"] | {"depth": depth | {"grave": f"{file}.grave"}}}))
    return file


def main(count: int, folder: Path) -> None:
    os.environ["PYTHONPATH"] = str(HERE)
    from ray.cluster_utils import Cluster
    from squares import RECIPE

    from taskprompt.runtime.cluster.connect import QUIET

    os.environ.update(QUIET)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = RECIPE | {"stages": [{"steps": STEPS, "lr": 1e-3, "ema": 0.9}], "save_every": 7, "record_clips": True}
    data["runtime"] = {"workers": 2, "precision": "fp32", "block": 4}
    recipe = folder / "r.yaml"
    recipe.write_text(yaml.safe_dump(data))
    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    second = cluster.add_node(**NODE)  # type: ignore[arg-type]
    address = str(cluster.address)
    assert drive(recipe, folder / "whole", address).wait() == 0
    tensors, losses, clips = ending(folder / "whole")
    assert len(losses) == STEPS
    check_clips(clips)
    dice = random.Random(0)
    for i in range(count):
        kind, at, out = KINDS[i % len(KINDS)], dice.randrange(1, STEPS - 5), folder / f"{i:02d}"
        its = recipe if kind != "raise" else failing(data, folder / f"{i:02d}.yaml", at)
        driver = drive(its, out, address)
        while steps(out) < at and driver.poll() is None:
            time.sleep(0.01)
        if kind == "raise":
            assert driver.wait() == 2  # a mistake ends the job; the user mends it
        reached, begin = steps(out), time.monotonic()
        if kind == "worker":
            workers = [p for p, line in children(os.getpid()).items() if "RayTrainWorker" in line]
            os.kill(dice.choice(workers), signal.SIGKILL)
        elif kind == "node":
            cluster.remove_node(second, allow_graceful=False)
            time.sleep(5)
            second = cluster.add_node(**NODE)  # type: ignore[arg-type]
        elif kind == "driver":
            driver.kill()
            driver.wait()
        if kind in ("driver", "raise"):
            driver = drive(its, out, address, "--resume")
        code = driver.wait()
        found, others, keys = ending(out)
        equal = (losses, clips) == (others, keys) and all(torch.equal(tensors[k], found[k]) for k in tensors)
        seconds = time.monotonic() - begin
        print(f"{i:2d} {kind:6} ended at step {reached:3d}: exit {code}, equal {equal}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
