"""Names, values and errors that somebody else wrote do nothing in any report: HTML, Markdown, LaTeX, figures."""

import json
import re
from html.parser import HTMLParser

import pytest
import yaml

from taskprompt.core.metrics import Metric
from taskprompt.evaluation.profile import Cost
from taskprompt.recipe.files import validate
from taskprompt.reporting.comparison_table import write_comparison
from taskprompt.reporting.costs import markdown
from taskprompt.reporting.plots import held_out_panels, loss_panels
from taskprompt.reporting.sweep_page import write_sweep_page
from taskprompt.sweeps.comparison import comparison_sweep
from taskprompt.sweeps.run import SweepRun
from taskprompt.sweeps.sweep import Sweep

TAG, KEY = "<img src=x onerror=alert(1)>", "pa55word"
NAMES = [
    TAG,
    "$x_{$",
    "$\\frac{$",
    "a|b`c`[d](e)",
    "\x1b]0;owned\x07",
    "\u202egpj.exe",
    "\udc80\ud800",
    "\\input{key}%",
    "3 pm & 5 #1 ~^",
    f"https://me:{KEY}@host/x",
    "two\nlines",
]


class Tags(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def harmless(page: str) -> None:
    for tag, attributes in Tags(page).tags:
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "img" or str(attributes["src"]).startswith("data:")
        assert tag != "script"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", page)
    assert KEY not in page
    page.encode()


def swept(folder, sweep, values) -> SweepRun:
    run = SweepRun.start(folder, sweep)
    for i, value in enumerate(values):
        run.note({"event": "begin", "trial": i, "values": value})
        for step in (1, 2):
            run.note({"event": "report", "trial": i, "step": step, "value": 0.1 + i, "seconds": 1.0, "last": step == 2})
        if i % 3 == 2:
            run.note({"event": "end", "trial": i, "state": "failed", "error": f"no clip {NAMES[i % len(NAMES)]}"})
        else:
            run.note({"event": "end", "trial": i, "state": "done"})
    return run


def test_the_page_of_a_sweep(squares, tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares))
    named = [n for n in NAMES if n.isprintable()] + ["\x1b]0;owned\x07", "two\nlines"]
    search = {"sources.labelled.clips": {"choice": named}, "stages.0.lr": {"uniform": [0.1, 0.2]}}
    sweep = validate(
        {
            "recipe": str(tmp_path / "r.yaml"),
            "search": search,
            "metric": "test/depth/RMSE_m",
            "mode": "min",
            "trials": 9,
        },
        "s",
        Sweep,
    )
    values = [{"sources.labelled.clips": n, "stages.0.lr": 0.1 + i / 100} for i, n in enumerate(named)]
    harmless(write_sweep_page(swept(tmp_path / "s", sweep, values)).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [n for n in NAMES if "/" not in n])
def test_a_comparison(squares, tmp_path, name):
    try:
        files = [tmp_path / "plain.yaml", tmp_path / f"{name}.yaml"]
        for file in files:
            file.write_text(yaml.safe_dump(squares))
    except UnicodeEncodeError:
        pytest.skip("this system has no such file names")
    sweep = comparison_sweep(files, 2, "test/depth/RMSE_m", None, {})
    run = swept(tmp_path / "out", sweep, [{"recipe": n, "seed": s} for n in sweep.names for s in (0, 1)])
    texts = write_comparison(run)
    md, tex = texts["comparison.md"], texts["comparison.tex"]
    rows = [line for line in md.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert "<" not in md
    assert not re.search(r"(?<!\\)[`\[$]", md)
    body = tex.splitlines()
    assert len(body) == 8
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body[2:3] + body[4:6]} == {4}
    assert r"\input" not in tex
    assert not re.search(r"(?<!\\)[%#]", tex)
    for line in body:
        assert not line.count("$") - line.count(r"\$") & 1  # mathematics that begins ends
    for text in texts.values():
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text)
    json.loads(texts["comparison.json"])
    harmless(write_sweep_page(run).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_figures_and_costs(name):
    lines = [{"step": i, f"loss/{name}": 1.0, "loss": 1.0, f"a/{name}/top1": 0.5} for i in range(3)]
    for panel in [
        *loss_panels(lines),
        *(held_out_panels(lines, lambda path: Metric(path, better="max")) if "/" not in name else []),
    ]:
        harmless(panel.svg)
    table = markdown([Cost(name, (name,), *(1,) * 6)]).splitlines()
    assert not [line for line in table if "<" in line or "\x1b" in line or KEY in line]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table[:3]} == {9}
