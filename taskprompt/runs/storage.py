"""Remote storage of runs (S3, Google Cloud Storage, HDFS, anything supported by fsspec), with a local working copy."""

import shutil
import tempfile
import weakref
from functools import partial
from pathlib import Path, PureWindowsPath
from urllib.parse import urlsplit

from pyarrow import ArrowInvalid, fs

from taskprompt.core.errors import CheckpointError, SpecError
from taskprompt.core.secrets import has_key

Stamp = tuple[int, int]  # size and mtime, to detect local changes
MARK = "state.json"  # uploaded last and deleted first: a checkpoint exists if this file does


def reach(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URI, and the path in it: pyarrow's own if there is one, else fsspec's.

    Raises SpecError for an invalid URI, CheckpointError if it cannot be reached."""
    if has_key(uri):
        raise SpecError(
            f"{uri.partition('://')[0]}://...: keys must not be in an address, since it is logged. Set them in the "
            "environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS."
        )
    try:
        return fs.FileSystem.from_uri(uri)
    except ArrowInvalid as error:  # unknown scheme, or invalid URI
        scheme = urlsplit(uri).scheme
        import fsspec

        if scheme not in fsspec.available_protocols() or scheme in ("s3", "gs", "gcs", "abfs", "hdfs"):
            raise SpecError(f"{uri}: {error}. Expected a path, or an address such as s3://bucket/run.") from None
        try:
            found, path = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError, OSError) as problem:
            raise SpecError(f"{uri}: {problem}") from None
        return fs.PyFileSystem(fs.FSSpecHandler(found)), path
    except OSError as error:
        raise CheckpointError(f"{uri}: cannot be reached: {error}. Check the address and permissions.") from None


def check_inside(name: str, uri: str) -> None:
    """Raises CheckpointError if a remote file's path would be outside of the local folder."""
    path, parts = PureWindowsPath(name), name.replace("\\", "/").split("/")
    if not name or ".." in parts or path.drive or path.root or "\0" in name:
        raise CheckpointError(f"{uri}: the file {name!r} would be written outside the run's folder. This is not a run.")


class Copy:
    """A local working copy of a run's folder. It is deleted with the object, unless a push failed."""

    def __init__(self, uri: str):
        self.uri = uri.rstrip("/")
        self.fs, self.root = reach(self.uri)
        self.path = Path(tempfile.mkdtemp(prefix="taskprompt-"))
        self.known: dict[str, Stamp] = {}  # file -> its local stamp at the last synchronisation
        self.clean = weakref.finalize(self, shutil.rmtree, self.path, True)
        self.pull()

    def pull(self) -> None:
        """Download everything but the tensors of checkpoints; see `pull_checkpoint` for these."""
        for name in self._names():
            if not name.endswith(".safetensors"):
                self._download(name)

    def pull_checkpoint(self, name: str) -> None:
        """Download the tensors of one checkpoint, unless they exist locally."""
        for file in self._names(f"checkpoints/{name}/"):
            if not (self.path / file).exists():
                self._download(file)

    def push(self) -> None:
        """Upload local changes, new checkpoints last and each with its mark last; then delete dropped checkpoints.

        Raises CheckpointError; the local copy is then kept."""
        here = {str(f.relative_to(self.path)) for f in self.path.rglob("*") if f.is_file() and f.name[0] != "."}
        order = sorted(here, key=lambda n: (n.startswith("checkpoints/"), n.endswith(MARK), n))
        for name in order:
            if self.known.get(name) != self._stamp(name):
                self._upload(name)
        dropped = {n for n in self.known if n.startswith("checkpoints/")} - here
        for name in (n for n in dropped if n.endswith(MARK)):
            self._guard("cannot be deleted from", partial(self._drop_checkpoint, name))
        self.known = {n: stamp for n, stamp in self.known.items() if n not in dropped}

    def _drop_checkpoint(self, mark: str) -> None:
        self.fs.delete_file(f"{self.root}/{mark}")
        self.fs.delete_dir(f"{self.root}/{mark}".rpartition("/")[0])

    def push_files(self, names: list[str]) -> None:
        """Upload only these files."""
        for name in names:
            self._upload(name)

    def _names(self, prefix: str = "") -> list[str]:
        """The remote files; none of a checkpoint without its mark."""
        found = self._guard(
            "cannot be listed",
            lambda: self.fs.get_file_info(fs.FileSelector(self.root, allow_not_found=True, recursive=True)),
        )
        start = self.root.lstrip("/")
        names = [i.path.lstrip("/")[len(start) :].lstrip("/") for i in found if i.type == fs.FileType.File]
        for name in names:
            check_inside(name, self.uri)
        marked = {n.removesuffix(MARK) for n in names if n.endswith(MARK)}
        whole = [n for n in names if not n.startswith("checkpoints/") or n.rpartition("/")[0] + "/" in marked]
        return [n for n in whole if n.startswith(prefix) and not n.startswith("ray/")]

    def _upload(self, name: str) -> None:
        stamp, target = self._stamp(name), f"{self.root}/{name}"

        def send() -> None:
            if self.fs.type_name not in ("s3", "gcs", "abfs"):  # these have no folders
                self.fs.create_dir(target.rpartition("/")[0], recursive=True)
            fs.copy_files(str(self.path / name), target, fs.LocalFileSystem(), self.fs)

        self._guard("cannot be written", send)
        self.known[name] = stamp

    def _download(self, name: str) -> None:
        source = f"{self.root}/{name}"

        def bring() -> None:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            fs.copy_files(source, str(self.path / name), self.fs, fs.LocalFileSystem())

        self._guard("cannot be read", bring)
        self.known[name] = self._stamp(name)

    def _stamp(self, name: str) -> Stamp:
        found = (self.path / name).stat()
        return found.st_size, found.st_mtime_ns

    def _guard(self, what: str, call):
        try:
            return call()
        except (OSError, ArrowInvalid) as error:
            text = " ".join(str(error).split())
            left = ""
            if what != "cannot be listed":
                self.clean.detach()
                left = f" Files that are not uploaded are in {self.path}."
            raise CheckpointError(
                f"{self.uri}: {what}: {text}.{left} Check address, permissions and space, then continue with --resume."
            ) from None
