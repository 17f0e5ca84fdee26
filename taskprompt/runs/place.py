"""Where a run is: a folder or a URI. Nothing here imports torch, ray or pyarrow."""

from pathlib import Path

from taskprompt.core.errors import CheckpointError


def is_uri(place: str | Path) -> bool:
    """Whether it is a URI such as 's3://bucket/run', not a path."""
    return "://" in str(place)


def check_is_run(path: Path, place: str) -> None:
    """Raises CheckpointError, which calls it `place`, if this folder is not a run's."""
    if path.suffix in (".yaml", ".yml") and path.is_file():
        raise CheckpointError(f"{place}: this is a recipe, expected the folder of a run: train it with fit.")
    if not (path / "recipe.yaml").is_file():
        raise CheckpointError(f"{place}: is not a run: it has no recipe.yaml. Give the folder that `fit --out` wrote.")
