"""Entry point of a submitted job: taskprompt's command line, if this Python has its dependencies.

It runs in an unknown Python, so it uses only the standard library and old syntax."""

import json
import runpy
import sys
from pathlib import Path


def main():
    """Run `taskprompt` with this command's arguments, or exit with one line that says what this Python lacks."""
    found = "%s of the cluster, Python %d.%d," % (sys.executable, *sys.version_info[:2])  # noqa: UP031
    todo = "Name a Python that has taskprompt's packages with `submit --python /path/to/python`."
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("taskprompt: %s is older than 3.11. %s" % (found, todo))  # noqa: UP031
    try:
        import ray  # noqa: F401

        import taskprompt.train.job  # noqa: F401
    except ModuleNotFoundError as error:
        sys.exit("taskprompt: %s has no module %r. %s" % (found, error.name, todo))  # noqa: UP031
    from importlib.metadata import PackageNotFoundError, version

    for kind, package in sorted(plugins().items()):
        try:
            version(package)
        except PackageNotFoundError:
            text = "taskprompt: %s lacks the package %s, which declares the kind %r. Install it on all machines there."
            sys.exit(text % (found, package, kind))
    runpy.run_module("taskprompt.cli.main", run_name="__main__")


def plugins():
    """kind -> the installed package that declares it, as recorded when the job was submitted."""
    path = Path(__file__).absolute().parent / "plugins.json"
    if not path.exists():
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    main()
