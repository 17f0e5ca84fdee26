"""What travels with a job, and what it says where the Python that it meets lacks something."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import taskprompt as tp
from taskprompt.runtime.jobs import package, start

SUPPORT = str(Path(__file__).parents[1] / "support")


def test_a_package_holds_the_own_modules_and_what_they_import(tmp_path, monkeypatch, squares):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "sent" / "deep").mkdir(parents=True)
    (tmp_path / "sent" / "deep" / "kinds.py").write_text("import os\nimport numpy\nfrom sent_too import X\n")
    (tmp_path / "sent" / "words.txt").write_text("of the package")
    (tmp_path / "sent_too.py").write_text("X = 1\n")
    (tmp_path / "unsent.py").write_text("")
    (tmp_path / "data" / ".git").mkdir(parents=True)
    (tmp_path / "data" / ".gitignore").write_text("*")
    (tmp_path / "data" / ".git" / "config").write_text("")
    squares["tasks"]["own"] = {"kind": "sent.deep.kinds:Own"}
    first = package.write_package(tmp_path / "a.zip", squares, ["data", Path(SUPPORT, "squares.py")])
    with zipfile.ZipFile(first) as found:
        names = {n for n in found.namelist() if not n.startswith("taskprompt/")}
        assert yaml.safe_load(found.read("submitted.yaml")) == squares
        assert {"taskprompt/cli/main.py", "taskprompt/reporting/page.html.jinja"} <= set(found.namelist())
    assert names == {
        "submitted.yaml",
        "start_taskprompt.py",
        "squares.py",
        "sent/deep/kinds.py",
        "sent/words.txt",
        "sent_too.py",
        "data/.gitignore",
    }
    again = package.write_package(tmp_path / "b.zip", squares, ["data"])
    assert first.read_bytes() == again.read_bytes()  # else Ray would take the same package twice


def plant(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"
SECRET_FILES = [
    *(
        ".env",
        ".env.local",
        "prod.env",
        "id_rsa",
        "id_ed25519",
        "server.pem",
        "tls.key",
        "store.p12",
        ".netrc",
        ".npmrc",
    ),
    *(".pypirc", ".git-credentials", "credentials.json", "gcp-credentials.json", "client_secret_1.json", "kubeconfig"),
    *(
        "secrets.yaml",
        "token.json",
        "auth_token",
        "Secrets.TOML",
        "openai_api_key.txt",
        "passwords.csv",
        ".aws/credentials",
        ".ssh/config",
        ".kube/config",
    ),
    *(".git/config", ".venv/x.txt", "__pycache__/m.cpython-311.pyc", "env/pyvenv.cfg", ".docker/config.json"),
]


def test_keys_and_links_out_of_the_folder_stay_behind(tmp_path, monkeypatch, squares):
    """By name and by content, in a package of the user's and in a folder that is shipped; what stays is told."""
    monkeypatch.chdir(tmp_path)
    plant(tmp_path, {"outside/deep.txt": "x"})
    kept = {"secrets.py": "", "tokens.py": "", "tokenizer.json": "{}", "words.txt": "the key", "monkey.txt": ""}
    for folder in ("leaky", "data"):
        plant(tmp_path / folder, dict.fromkeys(SECRET_FILES, "x") | kept | {"__init__.py": ""})
        plant(tmp_path / folder, {"notes.txt": f"mine:\n{KEY}", "aws.txt": "AKIAABCDEFGHIJKLMNOP", "in/f.txt": ""})
        for name, target in {
            "out": tmp_path / "outside",
            "out.txt": tmp_path / "outside" / "deep.txt",
            "round": ".",
            "dangling": "nowhere",
            "hidden": ".env",
            "ssh": ".ssh",
            "fine": "in",
        }.items():
            (tmp_path / folder / name).symlink_to(target)
        os.mkfifo(tmp_path / folder / "pipe")
    monkeypatch.syspath_prepend(str(tmp_path))
    squares["tasks"]["own"] = {"kind": "leaky:Own"}
    found = package.contents(squares, ["data"])
    names = {n for n in found.files if n.split("/")[0] in ("leaky", "data", "outside")}
    assert names == {f"{f}/{n}" for f in ("leaky", "data") for n in (*kept, "__init__.py", "in/f.txt", "fine/f.txt")}
    told = "\n".join(found.lines())
    for name in ("data/.env", "leaky/out", "data/notes.txt", "leaky/.ssh", "data/round", "data/pipe", "data/dangling"):
        assert f"not sent: {name}: " in told
    assert "  data/words.txt" in told
    assert re.search(r"^  taskprompt/: \d+ files, ", told, re.MULTILINE)


@pytest.mark.parametrize("name", ["id_rsa", "notes.txt", ".ssh", "innocent"])
def test_a_key_that_is_named_is_refused(tmp_path, monkeypatch, squares, name):
    monkeypatch.chdir(tmp_path)
    plant(tmp_path, {"id_rsa": KEY, "notes.txt": KEY, ".ssh/config": "x", ".netrc": "x"})
    (tmp_path / "innocent").symlink_to(".netrc")
    with pytest.raises(tp.JobError, match=f"`ship` {name}: "):
        package.contents(squares, [name])


def test_a_recipe_with_a_key_is_refused(squares):
    squares["weights"] = {"path": "https://user:pa55@host/w.pyth"}
    with pytest.raises(tp.JobError, match=r"^weights.path: https://\*\*\*@host/w.pyth: contains a key"):
        package.contents(squares)


def test_a_package_too_large_or_with_two_of_a_name_is_refused(tmp_path, monkeypatch, squares):
    monkeypatch.chdir(tmp_path)
    with open(tmp_path / "clip.mp4", "wb") as file:
        file.truncate(101 << 20)
    with pytest.raises(
        tp.JobError, match=r"10\d\.\d MB in \d+ files.* limit is 100 MB. The largest: clip.mp4 \(101.0 MB\)"
    ):
        package.write_package(tmp_path / "a.zip", squares, ["clip.mp4"])
    (tmp_path / "squares.py").write_text("")
    with pytest.raises(tp.JobError, match=r"two files as 'squares.py'"):
        package.write_package(tmp_path / "a.zip", squares, ["squares.py"])


def test_relative_weights_are_sent_along_or_refused(tmp_path, monkeypatch, squares):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "a.pyth").touch()
    squares["weights"] = {"path": "init/a.pyth"}
    with pytest.raises(
        tp.JobError, match=r"^weights.path init/a.pyth: is relative.* Add `ship` init/a.pyth, or give an"
    ):
        package.write_package(tmp_path / "a.zip", squares)
    for ship in (["init/a.pyth"], ["init"]):
        with zipfile.ZipFile(package.write_package(tmp_path / "a.zip", squares, ship)) as found:
            assert "init/a.pyth" in found.namelist()
    for path in ("/shared/a.pyth", "~/a.pyth"):
        package.write_package(tmp_path / "a.zip", squares | {"weights": {"path": path}})


def test_what_states_mean_and_std_travels_with_the_weights(tmp_path, monkeypatch, squares):
    """Beside a file of others; of a run the recipe, whether its folder or one checkpoint is sent."""
    monkeypatch.chdir(tmp_path)
    step = "runs/a/checkpoints/step-00000002"
    plant(tmp_path, {"init/model.bin": "", "init/preprocessor_config.json": "{}", "init/notes.txt": ""})
    plant(tmp_path, {f"{step}/model.safetensors": "", f"{step}/ema.safetensors": "", "runs/a/recipe.yaml": "seed: 0"})

    def names(path: str, ship: str) -> set[str]:
        found = package.contents(squares | {"weights": {"path": path}}, [ship]).files
        return {name for name in found if name.startswith(("init", "runs"))}

    assert names("init/model.bin", "init/model.bin") == {"init/model.bin", "init/preprocessor_config.json"}
    of_run = {f"{step}/model.safetensors", f"{step}/ema.safetensors", "runs/a/recipe.yaml"}
    assert names("runs/a", step) == names(step, step) == names("runs/a", "runs/a") == of_run
    assert names(f"{step}/ema.safetensors", f"{step}/ema.safetensors") == of_run - {f"{step}/model.safetensors"}
    with pytest.raises(tp.JobError, match=rf"weights.path runs/a: is relative.* Add `ship` {step}, or"):
        names("runs/a", "runs/a/recipe.yaml")


def test_a_python_that_lacks_something_says_what():
    bare_python = [sys.executable, "-I", "-S", str(start.__file__), "fit"]
    found = subprocess.run(bare_python, capture_output=True, text=True)
    assert found.returncode == 1
    assert re.fullmatch(r"taskprompt: \S+ of the cluster, Python 3.\d+, has no module 'ray'. Name .*\n", found.stderr)
