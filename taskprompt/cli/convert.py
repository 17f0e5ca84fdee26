"""The command for pretrained checkpoints: `convert`."""

import json
import pkgutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from taskprompt.core.errors import SpecError


def _backbones(incomplete: str) -> list[str]:
    """Values of --to, for shell completion."""
    names = sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parents[1] / "backbones")]))
    return [n for n in names if n.startswith(incomplete) and not n.startswith("_")]


def convert(
    file: Annotated[Path, typer.Argument(help="A checkpoint, or a run's folder step-N.", show_default=False)],
    to: Annotated[
        str, typer.Option(help="The kind of backbone, such as mvit.", show_default=False, autocompletion=_backbones)
    ],
    fields: Annotated[
        list[str] | None, typer.Argument(help="Fields of the backbone, as key=value.", show_default=False)
    ] = None,
    clip: Annotated[str | None, typer.Option(help="Resize positions for clips of frames,height,width.")] = None,
    inflate: Annotated[Literal["centre", "mean"], typer.Option(help="How to inflate 2D kernels.")] = "centre",
    entry: Annotated[str | None, typer.Option(help="Which of several sets of weights, such as state_dict_ema.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write; default: in the folder of the checkpoint.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as json.")] = False,
) -> None:
    """Write a public checkpoint with taskprompt's names, as safetensors, and print a report of its tensors."""
    import taskprompt as tp
    from taskprompt.recipe.files import override

    backbone: dict[str, Any] = {"kind": to}
    for text in fields or ():
        override(backbone, text)
    shape = None if clip is None else _clip(clip)
    target = out or file.with_suffix(".safetensors")
    report = tp.convert(file, backbone, target, clip=shape, inflate=inflate, entry=entry)
    if json_:
        print(json.dumps(asdict(report), indent=1))
    else:
        print(report.text())
        print(f"wrote {target}")


def _clip(text: str):
    """'16,224,224' as a clip shape."""
    import taskprompt as tp
    from taskprompt.recipe.files import validate

    sizes = text.split(",")
    if len(sizes) != 3 or not all(n.strip().isdigit() for n in sizes):
        raise SpecError(f"--clip {text}: expected frames,height,width, such as 16,224,224.")
    return validate(dict(zip(("frames", "height", "width"), map(int, sizes), strict=True)), "--clip", tp.ClipSpec)
