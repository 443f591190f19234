"""Cells side by side share the cores that this process may use, not those of the machine."""

import pytest

from danil.benchmark import cells_of, execution, read_suite, run_cells


@pytest.mark.parametrize(("workers", "expected"), [(1, 6), (2, 3), (4, 1), (8, 1)])
def test_cores_are_shared_out_evenly(suite_file, tmp_path, monkeypatch, workers, expected):
    given = []

    def noted(cell, results, work, threads, processes):
        given.append(threads)
        return execution.Outcome(cell, "finished")

    monkeypatch.setattr(execution, "run_one", noted)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setattr("danil.cores.quota", lambda _: 6)  # the container's limit
    run_cells(cells_of(read_suite(suite_file)), results=tmp_path / "r", work=tmp_path / "w", workers=workers)
    assert given == [expected, expected]
