"""Which folder of taskprompt may import which; read by the test of imports, and for the table in docs/design.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "taskprompt"
KINDS = ("tasks", "sources", "backbones", "prompters", "balancers", "labelers", "trackers")
MAY_IMPORT = {  # a package -> the packages above it in this list that it may import
    "core": (),
    "nn": ("core",),
    "video": ("core",),
    "tasks": ("core", "nn", "video"),
    "sources": ("core", "nn", "video"),
    "backbones": ("core", "nn", "video"),
    "prompters": ("core", "nn", "video"),
    "balancers": ("core", "nn", "video"),
    "labelers": ("core", "nn", "video"),
    "trackers": ("core", "nn", "video"),
    "labels": ("core",),
    "distributed": ("core",),
    "recipe": ("core", "labels"),
    "data": ("core", "video", "labels", "distributed", "recipe"),
    "runs": ("core", "distributed", "recipe"),
    "weights": ("core", "recipe", "runs"),
    "evaluation": ("core", "nn", "video", "distributed", "recipe", "data", "runs"),
    "train": ("core", "nn", "distributed", "recipe", "data", "runs", "weights", "evaluation"),
    "checks": ("core", "labels", "recipe", "data", "weights", "train"),
    "sweeps": ("core", "recipe", "runs", "weights", "checks"),
    "reporting": ("core", "nn", "labels", "distributed", "recipe", "data", "runs", "evaluation", "sweeps"),
    "runtime": ("core", "labels", "distributed", "recipe", "data", "runs", "train", "checks", "sweeps", "taskprompt"),
    "bench": ("core", "nn", "distributed", "recipe", "data", "runs", "train", "runtime"),
    "testing": ("core", "video", "labels", "data"),
    "notebook": ("core",),
    "progress": ("core", "sweeps", "notebook"),
    "api": (
        *("core", "recipe", "data", "runs", "weights", "evaluation", "checks", "sweeps", "reporting", "runtime"),
        "progress",
    ),
    "taskprompt": ("core",),  # the public names, imported when they are used
    "cli": ("core", "recipe", "runs", "reporting", "runtime", "bench", "progress", "taskprompt"),
    "__main__": ("cli",),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def dotted(file: Path) -> str:
    """The module in a file."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """The package of a module, or the module itself if it is in none."""
    return module.split(".")[1] if "." in module else module


def imports(file: Path) -> Iterator[str]:
    """All modules that a file imports, also in functions, except those only for type checkers; `from a import b`
    is a.b where that is a module, else a."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unseen = {id(n) for node in ast.walk(tree) if _for_types(node) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                path = PACKAGE.parent.joinpath(*inner.split("."))
                yield inner if path.with_suffix(".py").exists() or path.is_dir() else str(node.module)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def first_paragraph(name: str) -> str:
    """The first paragraph of a package's docstring, in one line."""
    folder = PACKAGE / name
    file = folder / "__init__.py" if folder.is_dir() else PACKAGE / f"{name}.py"
    return " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())


def table() -> str:
    """The packages as markdown."""
    lines = ["| package | content | may import |", "|---|---|---|"]
    for name, others in MAY_IMPORT.items():
        if name not in ("taskprompt", "__main__"):
            allowed = ", ".join(f"`{o}`" for o in others) or "nothing else"
            lines.append(f"| `{name}` | {first_paragraph(name)} | {allowed} |")
    return "\n".join(lines)
