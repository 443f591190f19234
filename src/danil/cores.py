"""How many processor cores this process may use."""

import math
import os
from pathlib import Path


def cores(system: Path = Path("/")) -> int:
    """Return the cores this process may use: its affinity, or less where a container limits its time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, quota(system) or allowed))


def quota(system: Path) -> int | None:
    """Return the container's processor time in cores, rounded up; `None` where it is not limited."""
    group = system / "sys/fs/cgroup"
    try:
        if (group / "cpu.max").is_file():
            time, period = (group / "cpu.max").read_text().split()
        else:
            time, period = ((group / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return math.ceil(int(time) / int(period)) if int(time) > 0 else None
    except (OSError, ValueError):
        return None
