"""Jobs on a Ray head as people start one: what travels, what is said, and that a job is neither lost nor doubled."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from head import head  # type: ignore[import-not-found]
from wire import Wire  # type: ignore[import-not-found]

import taskprompt as tp
from taskprompt.recipe.files import read
from taskprompt.runtime.jobs.dashboard import check_address
from taskprompt.runtime.jobs.submit import checked

SUPPORT = str(Path(__file__).parents[1] / "support")
TOKEN = "a-token-of-the-tests-that-is-long-enough"
COMMAND = str(Path(sys.executable).with_name("taskprompt"))
SLOW = """#!/bin/sh
for i in $(seq 1 40); do echo "line $i"; sleep 0.2; done
"""


@pytest.fixture(scope="module")
def open_head():
    """A head that asks for no token."""
    with head({"RAY_AUTH_MODE": "disabled"}, cpus=3) as port:
        yield port


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A head that asks for a token."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    with head({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}, cpus=3) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def recipe(squares, tmp_path, monkeypatch):
    """A recipe's file whose source and one task are the user's own."""
    squares["sources"] = {"all": {"kind": "squares:Squares", "quota": 4}}  # one alone, so that few processes start
    squares["tasks"]["bright"] = {"kind": "brightness:Brightness"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(squares))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own.yaml"


@pytest.fixture
def slow(tmp_path):
    """What stands for Python: a command that says forty lines in eight seconds."""
    file = tmp_path / "slow"
    file.write_text(SLOW)
    file.chmod(0o755)
    return str(file)


def command(*words: str, **variables: str) -> subprocess.CompletedProcess:
    """taskprompt as a user runs it, with a user's own modules on the path and nothing known of tokens."""
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, env=bare(variables), timeout=280)


def bare(variables: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return kept | {"PYTHONPATH": SUPPORT, "RAY_ADDRESS": "http://127.0.0.1:1"} | variables  # Ray's own would go there


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.0.0.5:8265", "does not begin with http://; .* Did you mean http://10.0.0.5:8265?"),
        ("ray://10.0.0.5:10001", "does not begin with http://"),
        ("http://10.0.0.5:6379", "the port for drivers"),
        ("http://10.0.0.5:port", "Port could not be cast"),
    ],
)
def test_an_address_that_cannot_be_one_is_told(address, words):
    assert check_address("https://head.example:8265/") == "https://head.example:8265"
    with pytest.raises(tp.ClusterError, match=words):
        check_address(address)


def test_what_can_be_seen_wrong_here_is_told_here(recipe, squares):
    squares["sources"]["far"] = {"kind": "folder", "path": "/nowhere/videos"}
    recipe.write_text(yaml.safe_dump(squares))
    data, name = checked(recipe, ["seed=3"])
    assert data == read(recipe, ["seed=3"])
    assert name == "own"
    with pytest.raises(tp.RecipeError, match="cannot be read"):
        tp.Recipe.load(recipe)
    with pytest.raises(tp.RecipeError) as error:
        checked(recipe, ["tasks.bright.kind=brightness:Dark", "stages.0.stepps=3"])
    assert [p.split(":")[0] for p in error.value.problems] == ["tasks.bright", "stages.0.stepps"]


def test_a_closed_port_and_a_relative_path(recipe):
    with pytest.raises(tp.ClusterError, match=r"no connection to http://127.0.0.1:1. Give"):
        tp.submit(recipe, address="http://127.0.0.1:1", out="/nowhere/run")
    with pytest.raises(tp.JobError, match=r"`out` s3://\*\*\*@bucket/run: keys must not be in an address"):
        tp.submit(recipe, address="http://127.0.0.1:1", out="s3://AKIA:SEC/RET@bucket/run")
    with pytest.raises(tp.ClusterError, match=r"'http://\*\*\*@127.0.0.1:1': keys must not be in an address"):
        tp.submit(recipe, address="http://me:pa55@127.0.0.1:1", out="/nowhere/run")
    with pytest.raises(tp.JobError, match="`out` runs/x: is relative"):
        tp.submit(recipe, address="http://127.0.0.1:1", out="runs/x")


def test_a_token_is_asked_for(guarded, tmp_path):
    for variables, words in (
        ({}, "requires a token, and none was sent"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN[::-1]}, "rejects the token that was sent"),
    ):
        found = command("job", "list", "--address", guarded, **variables)
        assert (found.returncode, found.stdout) == (2, "")
        assert found.stderr.startswith(
            f"taskprompt: {guarded} {words}. Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH"
        )
        assert len(found.stderr.splitlines()) == 1


def test_a_job_trains_there_with_what_was_sent(guarded, recipe, tmp_path):
    place = tmp_path / "there"
    words = ["submit", "own.yaml", "seed=3", "--address", guarded, "--out", str(place)]
    found = command(*words, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)
    assert found.returncode == 0, found.stdout + found.stderr
    lines = found.stdout.splitlines()
    job = re.fullmatch(rf"submitted (own-\w{{8}}) to {guarded}; the run: {place}", lines[0])
    assert job
    assert f"trained: {place}" in lines
    assert lines[-1] == f"{job[1]} succeeded; the run: {place}"
    run = tp.Run.open(place)
    assert run.recipe.seed == 3
    assert [r["step"] for r in run.lines("metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert run.checkpoint().name == "step-00000006"
    there = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "TASKPROMPT_ADDRESS": guarded}
    log = command("job", "logs", job[1], **there)
    assert (log.returncode, log.stderr) == (0, "")
    assert log.stdout.splitlines()[-1] == f"trained: {place}"
    followed = command("job", "logs", "--follow", job[1], **there)
    assert followed.stdout == f"{log.stdout}{lines[-1]}\n"
    unknown = command("job", "logs", "own-none", **there)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "own-none does not exist. `taskprompt job list` shows those that do." in unknown.stderr


def interrupted(process: subprocess.Popen) -> str:
    """What a process says that Ctrl-C ends; once more after a minute, since Python drops one that meets a finalizer."""
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=60)[0]
    return process.communicate(timeout=60)[0]


def test_no_longer_followed_then_stopped_then_gone_on_with(open_head, recipe, tmp_path):
    address, place = f"http://127.0.0.1:{open_head}", tmp_path / "there"
    more = ["stages.0.steps=50000", "save_every=5"]
    words = [COMMAND, "submit", "own.yaml", *more, "--address", address, "--out", str(place)]
    following = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=bare({}))
    end = time.monotonic() + 200
    while not list(place.glob("checkpoints/step-*")):
        assert following.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    said = interrupted(following)
    assert following.returncode == 130
    (job,) = [j for j in tp.jobs(address) if j.place == str(place)]
    assert f"follow: taskprompt job follow {job.id} --address {address}\nstop:   taskprompt job stop {job.id}" in said
    assert job.status() == "RUNNING"
    assert job.stop() == "STOPPED"
    with pytest.raises(tp.JobError, match=f"job {job.id} was stopped. To continue {place}"):
        job.follow(tell=lambda text: None)
    run = tp.Run.open(place)
    done = len(run.lines("metrics.jsonl"))
    steps = int(run.checkpoint().name.partition("-")[2])
    assert steps <= done < 50000
    with pytest.raises(tp.CheckpointError, match=r"stages.0.steps: found 60, expected 50000"):
        tp.fit(
            tp.Recipe.load(recipe, ["stages.0.steps=60"]), place, cluster=None, resume=True, watch=lambda event: None
        )

    def three_more(event):
        if isinstance(event, tp.events.Step) and event.step == steps + 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tp.fit(tp.Recipe.load(recipe, more), place, cluster=None, resume=True, watch=three_more)
    assert [r["step"] for r in run.lines("metrics.jsonl")] == list(range(1, steps + 4))


def test_the_program_of_the_docs_and_a_mistake_met_there(open_head, recipe, squares, tmp_path, capsys):
    squares["sources"]["far"] = {"kind": "folder", "path": "/nowhere/videos"}
    recipe.write_text(yaml.safe_dump(squares))
    page = Path(__file__).parents[2] / "docs" / "cluster.md"
    found = re.search(r'title="submit.py"\n(.*?)```', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    program = found[1]
    for shown, here in (
        ("recipes/quickstart.yaml", "own.yaml"),
        ("http://127.0.0.1:8265", f"http://127.0.0.1:{open_head}/"),
        ("/shared/runs/first", str(tmp_path / "there")),
    ):
        assert program.count(shown) == 1
        program = program.replace(shown, here)
    exec(compile(program, "submit.py", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert len(said) >= 3, said
    *_, first, problem, last = said
    id = last.split()[0]
    assert first == f"job {id} failed: submitted.yaml: 1 problem", said
    assert problem.startswith("  sources.far: path '/nowhere/videos'")
    assert last == f"{id} FAILED {tmp_path / 'there'}"


def test_a_python_that_is_not_there_is_the_last_word(open_head, recipe, tmp_path):
    job = tp.submit(recipe, address=f"http://127.0.0.1:{open_head}", out=str(tmp_path), python="nosuch")
    with pytest.raises(tp.JobError, match=r"nosuch: not found. Set `python` to a Python on the cluster"):
        job.follow(tell=lambda text: None)


def test_a_lost_connection_is_taken_up_where_the_log_was(open_head, recipe, slow, tmp_path):
    wire = Wire(open_head)
    job = tp.submit(recipe, address=f"http://127.0.0.1:{wire.port}", out=str(tmp_path), python=slow)
    told: list[str] = []

    def cut_and_mend():
        while "line 5\n" not in "".join(told):
            time.sleep(0.1)
        wire.cut()
        time.sleep(2)
        wire.mend()

    thread = threading.Thread(target=cut_and_mend)
    thread.start()
    job.follow(tell=told.append)
    thread.join()
    wire.close()
    lines = "".join(told).splitlines()
    assert [line for line in lines if line.startswith("line ")] == [f"line {i}" for i in range(1, 41)]
    lost, found = [line for line in lines if job.address in line]
    assert lost == f"lost connection to {job.address} (ConnectionError); retrying for 600 s"
    assert found == f"connected to {job.address} again"


def test_a_job_whose_answer_is_lost_is_not_doubled(open_head, recipe, slow, tmp_path, capsys):
    wire = Wire(open_head)
    wire.losing = b"POST /api/jobs/ "
    sent = tp.submit(recipe, address=f"http://127.0.0.1:{wire.port}", out=str(tmp_path), python=slow)
    wire.close()
    assert not wire.losing
    assert "lost" in capsys.readouterr().err
    here = f"http://127.0.0.1:{open_head}"
    assert [j.id for j in tp.jobs(here) if j.place == str(tmp_path)] == [sent.id]
    job = tp.Job.open(sent.id, here)
    assert job.stop() == "STOPPED"
    assert job.place == str(tmp_path)


def test_a_job_that_is_not_known(open_head):
    with pytest.raises(tp.JobError, match=r"Job nix does not exist. `taskprompt.jobs`"):
        tp.Job.open("nix", f"http://127.0.0.1:{open_head}")
