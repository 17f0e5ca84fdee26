"""The command group `bench`: alternatives compared within one run."""

from pathlib import Path
from typing import Annotated

import typer

from taskprompt.cli.options import Overrides, RecipeFile, load

bench = typer.Typer(
    help="Benchmarks; alternatives are compared within one run.", no_args_is_help=True, rich_markup_mode=None
)


@bench.command("data")
def bench_data(workers: int = 2, rounds: int = 3) -> None:
    """Decoded clips per second: Ray stream, plain PyAV loops, DataLoader."""
    from taskprompt.bench.data import bench_data as measure

    for case, ways in measure(workers, rounds).items():
        stream = ways["ray stream"]["clips_per_s"]
        for way, facts in ways.items():
            spread = f"{facts['low']:.1f} to {facts['high']:.1f}"
            ratio = f"stream is {stream / facts['clips_per_s']:.2f} of it" if way != "ray stream" else ""
            print(f"{case}  {way:11} {facts['clips_per_s']:8.1f} clips/s  ({spread})  {ratio}".rstrip())


@bench.command("scenes")
def bench_scenes(size: int = 112, rounds: int = 3) -> None:
    """Rendered frames per second of the `scenes` source, with all labels, on one core."""
    from taskprompt.bench.scenes import bench_scenes as measure

    for look, rate in measure(size, rounds).items():
        print(f"{look}  {rate:.1f} frames/s of {size} x {size}")


@bench.command("ray")
def bench_ray(recipe: RecipeFile, overrides: Overrides = None, rounds: int = 3) -> None:
    """Overhead of Ray with one and with two workers, compared with a plain loop."""
    from taskprompt.bench.ray_cost import bench_ray as measure

    found = measure(load(recipe, overrides), rounds=rounds)
    print("            first step s   step s   of plain   peak memory GB")
    for way, name in (("plain", "plain loop"), ("1", "1 worker"), ("2", "2 workers")):
        ratio = found.step[way] / found.step["plain"]
        facts = f"{found.first_step[way]:12.1f} {found.step[way]:8.3f} {ratio:10.2f} {found.memory[way] / 1e9:16.2f}"
        print(f"{name:10}  {facts}")
    rates, sizes = found.clips, found.bytes_a_clip
    share = rates["stream"] / rates["plain"]
    print(
        f"one reading process: {rates['stream']:.1f} clips/s in a stream, {share:.2f} of {rates['plain']:.1f} in a loop"
    )
    print(f"object store: {sizes['store'] / 1e6:.2f} MB per clip, whose columns are {sizes['clip'] / 1e6:.2f} MB")
    print(f"checkpoint: {found.checkpoint:.2f} s to write")


@bench.command("step")
def bench_step(recipe: RecipeFile, overrides: Overrides = None, rounds: int = 3) -> None:
    """Seconds per training step: through Ray Train, and in a plain loop."""
    import tempfile

    from taskprompt.bench.step import bench_step as measure

    with tempfile.TemporaryDirectory() as folder:
        found = measure(load(recipe, overrides), Path(folder), rounds=rounds)
    print(
        f"plain loop {found['plain']:.4f} s   through Ray Train {found['ray train']:.4f} s   ratio {found['ratio']:.3f}"
    )


@bench.command("label")
def bench_label(
    recipe: RecipeFile,
    labeler: Annotated[str, typer.Argument(help="The name of one of its labelers.", show_default=False)],
    overrides: Overrides = None,
    rounds: int = 3,
) -> None:
    """Answers per second of a labeler through Ray Data, compared with its model given all questions in one list."""
    loaded = load(recipe, overrides, check_sources=False)
    from taskprompt.bench.label import bench_label as measure

    found = measure(loaded, labeler, rounds)
    print(f"pipeline {found.pipeline:.1f} answers/s   in one list {found.direct:.1f}   ratio {found.ratio:.2f}")


@bench.command("model")
def bench_model(
    rounds: int = 5,
    threads: int = 2,
    clips: Annotated[
        int | None, typer.Option(help="Batch size; 1 on a CPU, 32 on a GPU.", min=1, show_default=False)
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile")] = False,
) -> None:
    """MViTv2-S at 16 x 224 x 224 and torchvision's: seconds, memory, cost of prompts, share of the machine's peak."""
    from taskprompt.bench.model import bench_model as measure

    found = measure(rounds, threads, compiled, clips)
    print(f"matrix products: {found.rate / 1e9:.0f} GFLOP/s; batches of {found.clips}")
    print(
        "model         forward s  relative   share of peak   training s  relative   share of peak   peak MB  relative"
    )
    first = next(iter(found.forward))
    for way, seconds in found.forward.items():
        floor, training, memory = found.floor(way), found.training[way], found.memory[way]
        print(
            f"{way:12} {seconds:10.3f} {seconds / found.forward[first]:9.2f} {floor / seconds:15.2f} "
            f"{training:12.3f} {training / found.training[first]:9.2f} {3 * floor / training:15.2f} "
            f"{memory / 1e6:8.0f} {memory / found.memory[first]:9.2f}"
        )
    prompts = found.forward["five prompts"] / found.forward["taskprompt"]
    print(f"five prompts: {prompts:.3f} of the plain backbone's forward pass")
