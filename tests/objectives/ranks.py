"""What each process of the distributed tests runs; importable, so that a spawned process finds it."""

import copy
import os
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from danil.objectives import DistractorAware
from objectives.networks import batch, half_wrong, made, normalized, plain

CASES = {
    "frozen": {},
    "literal": {"formulation": "literal"},
    "coupled": {"normalization": "coupled"},
    "batch": {"map_scale": "batch"},
    "measured": {"measure_every": 1},
    "runner_up": {"rival": "runner_up"},
}


def data(wrong_ranks: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 8 images; the first or both of two contiguous halves hold wrong ones."""
    images, _ = batch(8)
    labels = half_wrong(made(plain), images)
    if wrong_ranks == "first":
        labels[4:] = made(plain)(images).argmax(1)[4:]
    return images, labels


def work(rank: int, folder: str) -> None:
    """Join a group of two processes over gloo, do every stage, and save what each gives as soon as it is there."""
    torch.set_num_threads(1)
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for name, stage in STAGES.items():
        torch.save(stage(rank), Path(folder) / f"{name}-{rank}.pt")
    distributed.destroy_process_group()


def data_parallel(rank: int, wrong_ranks: str) -> dict[str, list[torch.Tensor]]:
    """Return the averaged gradients of each case."""
    images, labels = data(wrong_ranks)
    half = slice(4 * rank, 4 * rank + 4)
    found = {}
    for name, options in CASES.items():
        network = made(plain)
        wrapped = DistributedDataParallel(network)
        DistractorAware(0.01, **options)(wrapped, images[half], labels[half]).total.backward()
        found[name] = [p.grad for p in network.parameters()]
    return found


def normalized_steps(rank: int) -> list[torch.Tensor]:
    """Train three steps with BatchNorm where only the first rank ever sees a wrong image; return the parameters."""
    network = made(normalized)
    images, _ = batch(4, seed=rank + 5)
    wrapped = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    objective = DistractorAware(strength=0.1, map_scale="batch")
    for _ in range(3):
        twin = copy.deepcopy(network)
        labels = (twin(images).argmax(1) + (rank == 0)) % 4
        optimizer.zero_grad()
        terms = objective(wrapped, images, labels)
        terms.total.backward()
        optimizer.step()
        assert bool(terms.stats["share_wrong"] > 0) == (rank == 0)
    return [terms.stats["distractor_weight"], *network.parameters()]


def fabric(rank: int) -> list[torch.Tensor]:
    """Return the averaged gradients under Fabric's DDP, found through its own wrapper."""
    from lightning_fabric import Fabric

    runner = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    runner.launch()
    network = made(plain)
    images, labels = data("first")
    half = slice(4 * rank, 4 * rank + 4)
    wrapped, _ = runner.setup(network, torch.optim.SGD(network.parameters(), lr=0.1))
    with runner.autocast():
        terms = DistractorAware(0.01)(wrapped, images[half], labels[half])
    runner.backward(terms.total)
    return [p.grad for p in network.parameters()]


def sharded(rank: int) -> str:
    """Return what the objective says to a network sharded by FSDP."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    network = fully_shard(made(plain), mesh=init_device_mesh("cpu", (2,)))
    images, labels = data("both")
    try:
        DistractorAware()(network, images, labels)
    except ValueError as error:
        return str(error)
    return "no error"


STAGES = {
    "both": lambda rank: data_parallel(rank, "both"),
    "first": lambda rank: data_parallel(rank, "first"),
    "normalized": normalized_steps,
    "fabric": fabric,
    "sharded": sharded,
}
