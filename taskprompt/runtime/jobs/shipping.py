"""The files of a folder that may be sent to a cluster: no keys, and no targets of links out of the folder."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

LEFT_OUT = (  # folders without code: of tools, version control, keys
    *("__pycache__", ".git", ".hg", ".svn", ".venv", "venv", "node_modules", ".ipynb_checkpoints", ".tox", ".nox"),
    *(".pytest_cache", ".mypy_cache", ".ruff_cache", ".ssh", ".aws", ".azure", ".gcloud", ".gnupg", ".kube", ".docker"),
    *(".kaggle", ".huggingface", ".oci", ".config", ".ray", ".terraform", ".password-store"),
)
KEY_FILES = (  # names of files with keys
    *(".env", ".env.*", "*.env", ".envrc", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.p12"),
    *(
        "*.pfx",
        "*.jks",
        "*.keystore",
        "*.kdbx",
        "*.ppk",
        ".netrc",
        "_netrc",
        ".pgpass",
        ".npmrc",
        ".yarnrc*",
        ".pypirc",
    ),
    *(".htpasswd", ".git-credentials", ".gitconfig", ".dockercfg", ".boto", ".s3cfg", ".databrickscfg", ".my.cnf"),
    *("credentials", "*credentials*.json", "*client_secret*.json", "*service*account*.json", "kaggle.json"),
    *("rclone.conf", "*kubeconfig*", ".vault-token", "auth_token", "*.token", "*.secret", "*_history", "*.tfstate*"),
    *("*.tfvars", "authorized_keys"),
)
# Names of key files, unless they are code.
KEY_STEMS = re.compile(r"(secret|token|credential)s?|.*(api|access|private|secret)[_-]?keys?.*|.*passwords?.*")
CODE = (".py", ".pyi", ".pyx", ".so", ".pyd")
KEY_TEXT = re.compile(  # keys in a file's content
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d|b3BlbnNzaC1rZXkt[d]jE"
    rb"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|aws_secret_access_key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}"
    rb"|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{30}|\bhf_[A-Za-z0-9]{30}|\bsk-[A-Za-z0-9_-]{32}"
    rb"|\bxox[abprs]-[A-Za-z0-9-]{20}|\bAIza[A-Za-z0-9_-]{35}|:_authToken=[\w-]|\bmachine\s+\S+\s+login\s+\S+\s+password\s"
)
HOLDS_KEYS = "holds keys"
SEARCHED = 1 << 20  # bytes at the start of a file to search for keys


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a folder, and why it is not sent ('' if it is)."""

    path: Path
    why: str = ""


def files(root: Path) -> Iterator[Found]:
    """Every file below a folder, or the one file; for an omitted folder, only the folder."""
    if not root.is_dir():
        yield Found(root, why_not(root))
    else:
        yield from _walk(root, root.resolve(), ())


def why_not(path: Path) -> str:
    """Why a file is not sent; '' if it may be sent."""
    if not path.is_file():
        return "not a regular file"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if is_key_name(path.name) or is_key_name(path.resolve().name):
        return f"{HOLDS_KEYS}, by its name"
    try:
        with path.open("rb") as file:
            return HOLDS_KEYS if KEY_TEXT.search(file.read(SEARCHED)) else ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def is_key_name(name: str) -> bool:
    """Whether files of this name hold keys."""
    name = name.lower()
    stem, suffix = os.path.splitext(name)
    return any(fnmatch(name, pattern) for pattern in KEY_FILES) or bool(
        suffix not in CODE and KEY_STEMS.fullmatch(stem)
    )


def _walk(folder: Path, root: Path, above: tuple[Path, ...]) -> Iterator[Found]:
    """above: the real paths of the parent folders, to detect cycles of links."""
    here = folder.resolve()
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield Found(folder, f"cannot be listed: {error.strerror}")
        return
    for path in entries:
        real = path.resolve()
        if path.is_symlink() and not real.is_relative_to(root):
            yield Found(path, "a link out of the folder")
        elif path.is_symlink() and (is_key_name(real.name) or {*real.relative_to(root).parts} & {*LEFT_OUT}):
            yield Found(path, "a link to an omitted file")
        elif not path.is_dir():
            if path.suffix not in (".pyc", ".pyo"):
                yield Found(path, why_not(path))
        elif path.name.lower() in LEFT_OUT or (path / "pyvenv.cfg").exists():
            yield Found(path, "a folder of tools or keys")
        elif real == here or real in above:
            yield Found(path, "a cyclic link")
        else:
            yield from _walk(path, root, (*above, here))
