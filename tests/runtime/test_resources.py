"""Whether there is room: sums by hand, nodes by hand; and a real cluster with labels."""

import pytest

import taskprompt as tp
from taskprompt.recipe.files import validate
from taskprompt.runtime.cluster.resources import Node, fitting, matches, needs, shortage, worker_counts

PLAIN = Node(8, 0, {})


@pytest.fixture
def asking(squares):
    """A recipe that asks for what is named."""

    def make(**runtime):
        return validate(squares | {"runtime": squares["runtime"] | runtime}, "r", tp.Recipe)

    return make


def test_the_sum(asking):
    assert needs(asking()) == (3, 0, "1 workers x 1 CPUs + 1 workers x 2 sources x 1 data tasks = 3 CPUs")
    runtime = {"workers": 2, "cpus_per_worker": 3, "gpu": True, "data_workers": {"labelled": 4}, "data_cpus": 0.5}
    words = "2 workers x 3 CPUs + 2 workers x 5 data tasks x 0.5 CPUs = 11 CPUs, and 2 GPUs"
    assert needs(asking(**runtime)) == (11, 2, words)
    assert needs(asking(workers=[1, 2]))[0] == 3
    assert needs(asking(workers=[1, 2]), 2)[0] == 6


def test_quotas_say_how_many_workers_there_may_be(asking):  # they are 4 and 2
    assert worker_counts(asking(workers=2)) == [2]
    assert worker_counts(asking(workers=[1, 8])) == [2, 1]
    with pytest.raises(tp.SpecError, match=r"sources.rendered.quota: 2 clips cannot be divided among 4 workers"):
        worker_counts(asking(workers=4))
    with pytest.raises(tp.SpecError, match=r"no number from 3 to 8 divides every quota \(labelled 4, rendered 2\)"):
        worker_counts(asking(workers=[3, 8]))
    with pytest.raises(tp.RecipeError, match="1 <= least <= most"):
        asking(workers=[2, 1])


def test_room_is_counted_a_node(asking):
    recipe = asking(workers=2, cpus_per_worker=3)  # and four data tasks
    assert shortage(recipe, 2, [Node(10, 0, {})]) is None
    assert "the cluster has 9 CPUs" in str(shortage(recipe, 2, [Node(9, 0, {})]))
    assert shortage(recipe, 2, [Node(5, 0, {}), Node(5, 0, {})]) is None
    apart = shortage(recipe, 2, [Node(2, 0, {})] * 5)
    assert "no node can hold a whole worker of 3 CPUs" in str(apart)
    assert shortage(recipe, 1, [Node(3, 0, {}), Node(2, 0, {})]) is None


def test_gpus_and_cpus_may_be_on_different_nodes(asking):
    recipe = asking(gpu=True, worker_labels={"role": "train"}, data_labels={"role": "decode"})
    train, decode = Node(1, 1, {"role": "train"}), Node(2, 0, {"role": "decode"})
    assert shortage(recipe, 1, [train, decode]) is None
    assert "too few remain for data tasks after placing the workers" in str(
        shortage(recipe, 1, [Node(8, 1, {"role": "train"}), Node(1, 0, {"role": "decode"})])
    )
    assert shortage(recipe, 1, [Node(8, 1, {"role": "train"})]) == (
        "no node has the labels {'role': 'decode'} of runtime.data_labels. Start a node with these labels."
    )


@pytest.mark.parametrize(("gpu", "share"), [(False, 0), (0, 0), (True, 1), (1, 1), (0.6, 1), (0.5, 0.5), (0.3, 1 / 3)])
def test_no_share_lies_on_two_gpus(asking, gpu, share):
    assert asking(gpu=gpu).runtime.gpu_share == share


def test_workers_have_whole_gpus(asking):
    assert asking(gpu=True, workers=2).runtime.gpu_share == 1
    with pytest.raises(tp.RecipeError, match=r"gpu is 0.5 and workers 2: a fraction of a GPU needs workers: 1"):
        asking(gpu=0.5, workers=2)


def test_trials_share_a_gpu(asking):
    recipe = asking(gpu=0.3)
    node = Node(64, 1, {})
    assert shortage(recipe, 1, [node], times=3) is None
    assert "and 1.33333 GPUs; the cluster has 64 CPUs, 1 GPUs" in str(shortage(recipe, 1, [node], times=4))
    assert fitting({"CPU": 64, "GPU": 2}, recipe) == 6
    assert fitting({"CPU": 64}, recipe) == 0


def test_labels_match_as_rays_selectors_do():
    node = {"role": "train", "zone": "a"}
    assert matches(node, {})
    assert matches(node, {"role": "train", "zone": "in(a, b)"})
    assert matches(node, {"role": "!decode", "zone": "!in(b,c)"})
    assert not matches(node, {"role": "decode"})
    assert not matches(node, {"zone": "!in(a, b)"})
    assert not matches(node, {"disk": "fast"})


def test_a_real_cluster_goes_by_its_labels(cluster, asking, tmp_path):
    fast = {"disk": "fast"}  # what this cluster's only node is labelled
    recipe = asking(worker_labels=fast, data_labels=fast)
    done = tp.fit(recipe, tmp_path / "run", cluster="local", watch=lambda r: None)
    assert len(done.lines("metrics.jsonl")) == 6
    with pytest.raises(tp.ClusterError, match="no node has the labels"):
        tp.fit(asking(data_labels={"disk": "slow"}), tmp_path / "slow", cluster="local", watch=lambda r: None)


def test_a_busy_cluster_is_waited_for_but_not_for_ever(hog, asking, tmp_path):
    hog(7)
    with pytest.raises(tp.ClusterError, match=r"after 2 s of waiting .* resources are in use: .* has free 1 CPUs"):
        tp.fit(asking(wait=2), tmp_path / "run", cluster="local", watch=lambda r: None)
