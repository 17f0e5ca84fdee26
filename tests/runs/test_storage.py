"""Runs kept in a storage: an S3 server on loopback, spoken to by pyarrow's own client; and fsspec's memory."""

import pyarrow.fs
import pytest
import torch

import taskprompt as tp
from taskprompt.recipe.files import validate
from taskprompt.runs import checkpoint
from taskprompt.runs.run import Run
from taskprompt.runs.storage import Copy


@pytest.fixture(scope="session")
def server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    yield "{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """s3://bucket with keys from the environment, empty at the end."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = pyarrow.fs.S3FileSystem(
        endpoint_override=server,
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )
    store.create_dir("bucket")
    yield "s3://bucket/runs/a?scheme=http&region=us-east-1&endpoint_override=" + server, store
    store.delete_dir_contents("bucket")


def run(data, out, **options):
    return tp.fit(
        validate(data, "r", tp.Recipe), out, cluster=None, watch=options.pop("watch", lambda record: None), **options
    )


def names(store):
    found = store.get_file_info(pyarrow.fs.FileSelector("bucket/runs/a", recursive=True))
    return {i.path.removeprefix("bucket/runs/a/") for i in found if i.is_file}


def same(a, b):
    pairs = [checkpoint.read_tensors(r.checkpoint(), "model") for r in (a, b)]
    return all(torch.equal(pairs[0][k], pairs[1][k]) for k in pairs[0])


def test_a_run_in_s3_is_killed_and_goes_on(squares, tmp_path, bucket):
    uri, store = bucket
    squares |= {"stages": [{"steps": 9, "ema": 0.5}], "save_every": 2, "keep": 2}
    here = run(squares, tmp_path / "here")

    def stop(event):
        if isinstance(event, tp.events.Step) and event.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(squares, uri, watch=stop)
    kept = {n.split("/")[1] for n in names(store) if n.startswith("checkpoints/")}
    assert kept == {"step-00000004", "step-00000006"}
    there = run(squares, uri, resume=True)
    assert there.place == uri
    assert same(here, there)
    strip = lambda r: [(x["step"], x["loss"]) for x in r.lines("metrics.jsonl")]  # noqa: E731
    assert strip(here) == strip(there) == strip(Run.open(uri))
    found = names(store)
    assert {"recipe.yaml", "metrics.jsonl", "log.txt"} <= found
    assert any(n.startswith("tensorboard/") for n in found)
    assert {n.split("/")[1] for n in found if n.startswith("checkpoints/")} == {"step-00000008", "step-00000009"}
    tp.evaluate(uri, watch=lambda r: None)
    assert Run.open(uri).read("evaluation.json")["checkpoint"] == "step-00000009"
    assert "report.html" in str(tp.report(uri))
    assert {"evaluation.json", "report.html"} <= names(store)
    with pytest.raises(tp.CheckpointError, match="holds a run already"):
        run(squares, uri)
    squares["stages"] = [{"steps": 2}]
    assert run(squares, uri, fresh=True).checkpoint().name == "step-00000002"
    assert {n.split("/")[1] for n in names(store) if n.startswith("checkpoints/")} == {"step-00000002"}
    fetched = tp.fetch(uri, tmp_path / "fetched")
    assert same(fetched, Run.open(uri))


def test_half_a_checkpoint_is_none(squares, tmp_path, bucket):
    uri, store = bucket
    squares |= {"stages": [{"steps": 4}], "save_every": 2}
    run(squares, uri)
    store.delete_file("bucket/runs/a/checkpoints/step-00000004/state.json")  # as if cut off before its last file
    assert Run.open(uri).checkpoint().name == "step-00000002"
    assert run(squares, uri, resume=True).checkpoint().name == "step-00000004"


def test_what_cannot_be_sent_stays_here(squares, bucket):
    uri, store = bucket
    squares |= {"stages": [{"steps": 4}], "save_every": 2}
    run(squares, uri)
    copy = Copy(uri)
    (copy.path / "new.txt").write_text("precious")
    store.delete_dir_contents("bucket")
    store.delete_dir("bucket")
    with pytest.raises(
        tp.CheckpointError, match=r"cannot be written: .* Files that are not uploaded are in .*`resume=True`"
    ):
        copy.push()
    left = copy.path
    del copy
    assert (left / "new.txt").read_text() == "precious"
    store.create_dir("bucket")


def test_fsspec_has_it_too(squares, tmp_path):
    squares["stages"] = [{"steps": 2}]
    here, there = run(squares, tmp_path / "here"), run(squares, "memory://runs/a")
    assert same(here, there)
    assert same(here, Run.open("memory://runs/a"))


def test_addresses_that_cannot_be(squares, tmp_path):
    with pytest.raises(tp.SpecError, match="Expected a path, or an address such as s3://bucket/run"):
        run(squares, "s4://bucket/run")
    with pytest.raises(tp.SpecError, match="keys must not be in an address"):
        run(squares, "s3://me:secret@bucket/run")
    squares["stages"] = [{"steps": 2}]
    assert run(squares, f"file://{tmp_path}/run").path == tmp_path / "run"
