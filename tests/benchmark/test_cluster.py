from importlib.util import find_spec

import pytest

from benchmark.conftest import scores
from danil.benchmark import cells_of, read_suite, run_cells
from danil.benchmark.cluster import ClusterError, connected, run_on_ray


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra `cluster` is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_dies_loses_nothing_and_the_records_are_those_of_one_machine(suite_file, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    from ray.cluster_utils import Cluster

    suite_file.write_text(suite_file.read_text().replace("seeds = [0, 1]", "seeds = [0, 1, 2]"))
    cells = cells_of(read_suite(suite_file))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    killed = []

    def kill_one(outcome):
        if not killed:  # the first cell is finished, the second and the third run, one on each node
            killed.append(outcome.cell.name)
            cluster.remove_node(nodes[0], allow_graceful=False)

    try:
        outcomes = run_on_ray(
            cells, results=tmp_path / "ray", work=tmp_path / "work", address=cluster.address, notice=kill_one
        )
    finally:
        cluster.shutdown()
    assert [one.status for one in outcomes] == ["finished"] * 3, outcomes
    run_cells(cells, results=tmp_path / "here", work=tmp_path / "work2", workers=2)
    for cell in cells:
        assert scores(cell.record_path(tmp_path / "ray")) == scores(cell.record_path(tmp_path / "here"))


def test_no_cluster_at_the_address_is_told_in_words():
    with pytest.raises(ClusterError, match=r"no Ray cluster at `127\.0\.0\.1:1`"):
        connected("127.0.0.1:1")
