"""Running cells on a Ray cluster (extra `cluster`): a cell is a task; a lost node's cells run again elsewhere."""

import os
import socket
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from danil.benchmark.cell import Cell
from danil.benchmark.execution import Outcome, Processes, cell_result, is_finished, keep_record


class ClusterError(RuntimeError):
    """Say why the cluster cannot be used, and what to do."""


def run_on_ray(
    cells: Sequence[Cell],
    *,
    results: Path,
    work: Path,
    address: str,
    threads: int = 1,
    gpus: float = 0,
    any_code: bool = False,
    notice: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Train every cell that has no record on the cluster and return how each ended, in the order of `cells`.

    Records are written here; `work` is a path on every node (a shared file system lets another node resume a lost
    node's cell, else it starts again). Data and weights must be found on every node under the suite's paths, taken
    from this folder. A task that dies with its node is run again elsewhere, without limit; one that fails is not.

    Args:
        cells: of one suite or several.
        results: folder of records, here.
        work: folder of run folders, on the nodes.
        address: of the cluster (`auto`, `host:port`, `ray://host:port`), or `local` to start one on this machine.
        threads: processors a cell takes.
        gpus: GPUs a cell takes; a fraction lets cells share one.
        any_code: count records made by other code as finished.
        notice: is told of each outcome as it comes.

    Raises:
        ClusterError: Ray is not installed, or there is no cluster at the address.
    """
    ray = connected(address)
    outcomes: dict[Path, Outcome] = {}

    def ended(outcome: Outcome) -> None:
        outcomes[outcome.cell.record_path(results)] = outcome
        notice(outcome)

    task = ray.remote(cell_task).options(num_cpus=threads, num_gpus=gpus, max_retries=-1)
    waiting: dict[Any, Cell] = {}
    try:
        for cell in cells:
            if is_finished(cell, results, any_code):
                ended(Outcome(cell, "skipped"))
            else:
                waiting[task.remote(cell, str(work), str(Path.cwd()), threads)] = cell
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(done)
            try:
                content, outcome = ray.get(done)
            except ray.exceptions.RayError as error:
                content, outcome = None, Outcome(cell, "failed", f"Ray: {str(error).strip().splitlines()[-1]}")
            if content is not None:
                keep_record(cell, content, results, work)
            ended(outcome)
    finally:
        ray.shutdown()
    return [outcomes[cell.record_path(results)] for cell in cells]


def cell_task(cell: Cell, work: str, start: str, threads: int) -> tuple[dict[str, Any] | None, Outcome]:
    """Train one cell on the node that Ray chose, in the folder where the suite was started."""
    os.chdir(start)
    return cell_result(cell, Path(work), threads, Processes())


def check_reachable(address: str) -> None:
    """Refuse an address `host:port` where nothing listens; Ray would wait for minutes.

    Raises:
        ClusterError: nothing answers within five seconds.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster at `{address}`: {error}. Start one (`ray start --head`), or use `--ray local`."
        ) from error


def connected(address: str) -> Any:
    """Return Ray, connected; it sends no usage statistics.

    Raises:
        ClusterError: Ray is not installed, or there is no cluster at the address.
    """
    check_reachable(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        ray = import_module("ray")
    except ModuleNotFoundError as error:
        raise ClusterError("`--ray` needs Ray. Install it: pip install 'danil-torch[cluster]'.") from error
    passed = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    try:
        ray.init(
            None if address == "local" else address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level="error",
            runtime_env={"env_vars": passed},
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise ClusterError(
            f"no Ray cluster at `{address}`: {error}. Start one (`ray start --head`), or use `--ray local`."
        ) from error
    return ray
