"""Convolutions of the first pass are recalled in the second wherever that is right, and nowhere else."""

import ctypes
import gc
import weakref
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from danil.objectives import DistractorAware
from danil.objectives.batch_statistics import BatchStatistics
from danil.objectives.recall import Recall
from danil.objectives.row_operations import ROW_WISE, rows
from objectives.networks import gradients


class Convolutions(TorchDispatchMode):
    """Count convolutions computed."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ == "convolution"
        return func(*args, **(kwargs or {}))


class Block(nn.Module):
    """A convolution and something after it; 4 channels in and out."""

    def __init__(self, after=None):
        super().__init__()
        self.convolution, self.norm, self.after = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.norm(self.convolution(x)))


class Residual(Block):
    def forward(self, x: Tensor) -> Tensor:
        x = x + functional.relu(self.norm(self.convolution(x)), inplace=True)
        return functional.avg_pool2d(torch.cat([x, x.tanh()], 2), (2, 1))


class Gated(Block):
    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.norm(self.convolution(x)), inplace=True)
        return y * y.mean((2, 3), keepdim=True).sigmoid()


class InPlace(Block):
    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.convolution(x), inplace=True)


class Overwritten(Block):
    """Change a convolution's output in place by something else than ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(functional.silu(self.convolution(x), inplace=True))


class ReadBetween(Block):
    """Read a convolution's output before it is rectified in place, in eval mode only."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)
        read = 0 if self.training else 3 * y
        return self.norm(functional.relu(y, inplace=True)) + read


class OnlyInTraining(Block):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x * 2 if self.training else x))


class Noisy(Block):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x + torch.randn_like(x)))


class Dropped(Block):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(functional.dropout(x, 0.5, self.training)))


class StochasticDepth(Block):
    def forward(self, x: Tensor) -> Tensor:
        keep = x.new_empty(len(x), 1, 1, 1).bernoulli_(0.5) if self.training else 1.0
        return x + keep * self.norm(self.convolution(x))


class Mixing(Block):
    """Let images influence each other by something else than BatchNorm."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x - x.mean(0, keepdim=True)))


class OwnWeight(Block):
    """Change the weight between the passes."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.convolution.weight * (1.5 if self.training else 1)
        return self.norm(functional.conv2d(x, weight, padding=1))


class Shifted(Block):
    """Add a buffer that every pass changes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("shift", torch.zeros(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.shift += 1
        return self.norm(self.convolution(x + self.shift))


class ShiftedUnseen(Shifted):
    """Change that buffer without a new version."""

    def forward(self, x: Tensor) -> Tensor:
        self.shift.data += 1
        return self.norm(self.convolution(x + self.shift))


class Negated(Block):
    """Change a convolution's output by way of NumPy, which leaves no new version either."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)
        array = y.detach().numpy()
        array *= -1
        return self.norm(y)


class OpenedLater(Block):
    """Change a value in eval mode without a new version."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            x.data *= 3
        return self.norm(self.convolution(x))


class Written(Block):
    """Change a value in eval mode through memory that was opened in some way."""

    def __init__(self, opened):
        super().__init__()
        self.opened = opened

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        if not self.training:
            array = self.opened(x.detach())
            if isinstance(array, np.ndarray) and not array.flags.writeable:
                pytest.skip("this NumPy and PyTorch open it to be read alone")
            array *= 3
        return self.norm(self.convolution(x)).tanh()


def addressed(x: Tensor) -> np.ndarray:
    """Return an array at the tensor's address."""
    return np.ctypeslib.as_array((ctypes.c_double * x.numel()).from_address(x.data_ptr()))


def stored(x: Tensor) -> Tensor:
    """Return another tensor on the same storage."""
    return torch.empty(0, dtype=x.dtype).set_(x.untyped_storage())


OPENED = {
    "numpy": Tensor.numpy,
    "asarray": np.asarray,
    "dlpack": np.from_dlpack,
    "torch_dlpack": torch.from_dlpack,
    "data_ptr": addressed,
    "untyped_storage": stored,
}


class Foreign(Block):
    """Use a tensor that is no module's, and could be another one at the same address in the second pass."""

    def __init__(self):
        super().__init__()
        self.tensors = [torch.ones(4, 1, 1, dtype=torch.float64)]

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x + self.tensors[0]))


class OtherPrecision(Block):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training):
            return self.norm(self.convolution(x))


class Shared(Block):
    """Use one convolution and one normalisation twice."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(self.norm(self.convolution(x)).tanh())).tanh()


class Twice(Block):
    """Compute one convolution twice, and rectify its first output in place only."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(functional.relu(self.convolution(x), inplace=True) * self.convolution(x))


class Reordered(Block):
    """Normalise two values by one layer, in another order in eval mode: each gets the other's batch statistics."""

    def forward(self, x: Tensor) -> Tensor:
        values = [x, x.tanh()]
        normal = {i: self.norm(values[i]) for i in ((0, 1) if self.training else (1, 0))}
        return self.convolution(normal[0]) + normal[1]


SAFE = {
    "relu": lambda: Block(nn.ReLU(inplace=True)),
    "gelu": lambda: Block(nn.GELU()),
    "residual": Residual,
    "gated": Gated,
    "in_place": InPlace,
    "pool": lambda: nn.MaxPool2d(3, 1, 1),
    "shared": Shared,
    "twice": Twice,
}
HOSTILE = {
    "overwritten": Overwritten,
    "read_between": ReadBetween,
    "only_in_training": OnlyInTraining,
    "noisy": Noisy,
    "dropped": Dropped,
    "stochastic_depth": StochasticDepth,
    "mixing": Mixing,
    "own_weight": OwnWeight,
    "shifted": Shifted,
    "shifted_unseen": ShiftedUnseen,
    "negated": Negated,
    "opened_later": OpenedLater,
    "foreign": Foreign,
    "other_precision": OtherPrecision,
    "reordered": Reordered,
}
BLOCKS = SAFE | HOSTILE
COMPUTED = {"overwritten": 5, "stochastic_depth": 5, "read_between": 9, "shifted_unseen": 8, "negated": 8}
"""Of 4 convolutions in each pass: all of the first, and of the second those at and behind the hostile block (2), only
its own (1), only those behind it (1); or 1 in a pass found void and then all 4 of another; or all, where the first pass
could change values unseen."""


def network(*names: str) -> nn.Sequential:
    torch.manual_seed(3)
    stem, head = nn.Conv2d(3, 4, 3, stride=2), (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return nn.Sequential(stem, nn.ReLU(inplace=True), *(BLOCKS[name]() for name in names), *head).double()


def batch(memory_format: torch.memory_format = torch.contiguous_format) -> tuple[Tensor, Tensor]:
    images = torch.randn(5, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    return images.contiguous(memory_format=memory_format), torch.tensor(
        [0, -1, 2, -1, 1]
    )  # −1: unknown, so no second pass


def found(model: nn.Module, images: Tensor, labels: Tensor, **options: object) -> tuple[list[Tensor], int]:
    """Return the value and gradients of the term, and how many convolutions the forward passes computed."""
    torch.manual_seed(5)
    buffers = [buffer.clone() for buffer in model.buffers()]
    with Convolutions() as convolutions:
        terms = DistractorAware(1.0, rival="runner_up", **options)(model, images, labels)
    result = [terms.parts["distractor"].detach(), *gradients(terms.parts["distractor"], model)]
    for buffer, old in zip(model.buffers(), buffers, strict=True):
        buffer.copy_(old)
    return result, convolutions.count


@contextmanager
def nothing_recalled():
    @contextmanager
    def again(self, inputs, chosen):
        yield None

    with mock.patch.object(Recall, "again", again):
        yield


def assert_same(model: nn.Module, images: Tensor, labels: Tensor, **options: object) -> tuple[int, int]:
    """Compare with both passes computed; return both numbers of convolutions."""
    ours, few = found(model, images, labels, **options)
    with nothing_recalled():
        theirs, many = found(model, images, labels, **options)
    scale = max(float(g.abs().max()) for g in theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12 * scale)
    return few, many


@pytest.mark.parametrize("name", SAFE)
def test_no_convolution_of_an_ordinary_network_is_computed_twice(name):
    few, many = assert_same(network(name, "relu"), *batch())
    assert 2 * few == many


@pytest.mark.parametrize("name", HOSTILE)
def test_a_network_that_differs_between_the_passes_gets_what_it_would_compute(name):
    few, many = assert_same(network("relu", name, "relu"), *batch())
    assert (few, many) == (COMPUTED.get(name, 6), 8)


@pytest.mark.parametrize("opened", OPENED.values(), ids=OPENED)
def test_a_network_that_writes_through_opened_memory_gets_what_it_would_compute(opened):
    model = nn.Sequential(*network("relu")[:3], Written(opened), *network("relu")[3:]).double()
    few, many = assert_same(model, *batch())
    assert few < many


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_any_mixture_of_blocks_gets_what_it_would_compute(names, last, running):
    memory_format = torch.channels_last if last else torch.contiguous_format
    assert_same(network(*names), *batch(memory_format), normalization="running" if running else "frozen")


def test_images_of_two_ranks_mix_where_they_meet():
    class Crossed(Block):
        """Multiply by images without height and width: of four images, each line meets another one."""

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.convolution(x * x.mean((2, 3))))

    model = nn.Sequential(*network("relu")[:2], Crossed(), *network("relu")[2:]).double()
    images = batch()[0][:4]
    few, many = assert_same(model, images, torch.tensor([0, -1, -1, -1]))
    assert (few, many) == (5, 6)  # the stem's is recalled, the others are computed again


def test_a_network_in_eval_mode_recalls_through_running_statistics():
    few, many = assert_same(network("relu", "gated").eval(), *batch())
    assert 2 * few == many


def test_running_statistics_in_the_second_pass_end_what_batch_statistics_began():
    few, many = assert_same(network("relu", "relu"), *batch(), normalization="running")
    assert (many, few) == (6, 4)  # the stem and the first block's convolution are the same in both passes


@pytest.mark.parametrize(("layer", "computed"), [("0", 3), ("2.norm", 0), ("3", 0)])
def test_maps_at_a_layer_recall_unless_the_copy_stands_before_an_activation_in_place(layer, computed):
    few, many = assert_same(network("relu", "gated"), *batch(), layer=layer)
    assert 2 * few == many + 2 * computed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_recalled_output_has_the_precision_of_the_pass(dtype):
    model, (images, labels) = network("relu", "gated").float(), batch()
    with torch.autocast("cpu", dtype=dtype):
        few, many = (found(model, images.float(), labels)[1] for _ in range(2))
    assert few == many == 3


def test_images_that_changed_since_the_first_pass_are_not_taken_for_the_same():
    model, (images, _) = network("relu"), batch()
    modules = list(model.modules())
    recall = Recall(modules, BatchStatistics(modules, compiled=False), compiled=False)
    with recall.recorded(images):
        model(images)
    with recall.again(images, torch.arange(5)) as before:
        assert before is not None
    images.zero_()
    with recall.again(images, torch.arange(5)) as after:
        assert after is None


def test_no_tensor_is_kept_alive_for_it():
    model, (images, _) = network("relu"), batch()
    outputs = []
    model[2].norm.register_forward_hook(lambda module, args, output: outputs.append(weakref.ref(args[0])))
    modules = list(model.modules())
    recall = Recall(modules, BatchStatistics(modules, compiled=False), compiled=False)
    with recall.recorded(images):
        logits = model(images)
    assert outputs[0]() is not None  # BatchNorm keeps its input for its backward
    del logits
    gc.collect()
    assert outputs[0]() is None


def test_outputs_that_autograd_let_go_of_are_computed_again():
    few, many = assert_same(nn.Sequential(*network()[:1], nn.ReLU(), *network()[2:]), *batch())
    assert (few, many) == (2, 2)


def test_rows_keep_the_memory_format_and_are_no_view():
    for memory_format in (torch.contiguous_format, torch.channels_last):
        images = batch(memory_format)[0]
        chosen = rows(images, torch.tensor([1, 4]))
        assert torch.equal(chosen, torch.stack([images[1], images[4]]))
        assert chosen.is_contiguous(memory_format=memory_format)
        assert chosen._base is None


@pytest.mark.parametrize(
    ("function", "arguments", "separate"),
    [
        (torch.cat, lambda x: ([x, x], 1), True),
        (torch.cat, lambda x: ([x, x], -4), False),
        (Tensor.mean, lambda x: (x, (2, -1)), True),
        (Tensor.mean, lambda x: (x, (-4, 1)), False),
        (Tensor.mean, lambda x: (x,), False),
        (torch.flatten, lambda x: (x, 1), True),
        (torch.flatten, lambda x: (x,), False),
        (functional.pad, lambda x: (x, (1, 1, 0, 1)), True),
        (functional.pad, lambda x: (x, (0, 0, 0, 0, 0, 0, 1, 1)), False),
        (functional.layer_norm, lambda x: (x, (2, 2)), True),
        (functional.layer_norm, lambda x: (x, x.shape), False),
        (functional.max_pool2d, lambda x: (x, 2), True),
        (functional.max_pool2d, lambda x: (x[0], 2), False),
        (torch.conv2d, lambda x: (x, x), True),
        (torch.conv2d, lambda x: (x[0], x), False),
    ],
)
def test_calls_that_mix_images_are_told_from_those_that_do_not(function, arguments, separate):
    assert ROW_WISE[function](*arguments(torch.zeros(2, 2, 2, 2))) is separate
