"""What the tasks measure, as people read it: titles, units, and which way is better."""

from taskprompt.core.spec import kinds
from taskprompt.core.task import Task

MEASURES = {  # name: title, unit, arrow; what is over clips, and not the whole set, stands in CLIPS
    "action": {"top1": ("top-1", "%", "↑"), "top5": ("top-5", "%", "↑")},
    "depth": {
        "AbsRel": ("AbsRel", "", "↓"),
        "RMSE_m": ("RMSE", "m", "↓"),
        "delta1": ("δ < 1.25", "%", "↑"),
        "AbsRel_image": ("AbsRel, by frame", "", "↓"),
        "RMSE_m_image": ("RMSE, by frame", "m", "↓"),
        "delta1_image": ("δ < 1.25, by frame", "%", "↑"),
    },
    "normal": {
        "mean_deg": ("mean angle", "°", "↓"),
        "median_deg": ("median angle", "°", "↓"),
        "within_11.25_deg": ("within 11.25°", "%", "↑"),
    },
    "segmentation": {"mIoU": ("mIoU", "%", "↑"), "pixel_accuracy": ("pixel accuracy", "%", "↑")},
    "pose3d": {"MPJPE_mm": ("MPJPE", "mm", "↓"), "PA_MPJPE_mm": ("PA-MPJPE", "mm", "↓")},
    "boxes": {"mean_IoU": ("mean IoU", "%", "↑"), "AP50": ("AP50", "%", "↑")},
    "caption": {f"{way}_R{k}": (f"{way} R{k}", "", "↑") for way in ("t2v", "v2t") for k in (1, 5)}
    | {"R1_chance": ("R1 chance", "", "")},
}
CLIPS = {"top1", "top5", "MPJPE_mm", "PA_MPJPE_mm"}


def made(kind: str, classes: int = 7) -> Task:
    return Task.model_validate({"kind": kind} | ({"classes": classes} if kind in ("action", "segmentation") else {}))


def test_every_task_declares_what_it_measures():
    assert set(MEASURES) == set(kinds(Task))
    found = {kind: made(kind).declared() for kind in MEASURES}
    assert {k: {n: (m.title, m.symbol, m.arrow) for n, m in of.items()} for k, of in found.items()} == MEASURES
    assert {n for of in found.values() for n, m in of.items() if m.over == "clip"} == CLIPS


def test_what_is_measured_follows_the_fields():
    assert [*made("action", classes=5).declared()] == ["top1"]
    assert made("action", classes=5).metric("top5").unit == ""  # not declared: its number is shown as it is


def test_a_trivial_predictor_has_a_name_of_its_own():
    default = Task.trivial_name
    with_one = {kind for kind in MEASURES if type(made(kind)).trivial is not Task.trivial}
    assert with_one == set(MEASURES) - {"caption"}
    assert {kind for kind in MEASURES if made(kind).trivial_name != default} == with_one
