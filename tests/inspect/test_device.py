"""What becomes of torch's errors."""

from __future__ import annotations

import pytest
import torch

from stream_inspect.inspect.detect.detector import ModelError, OutOfMemoryError
from stream_inspect.inspect.device import choose_device, computing


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), OutOfMemoryError),
        (torch.AcceleratorError("CUDA error: out of memory"), OutOfMemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), OutOfMemoryError),
        (MemoryError(), OutOfMemoryError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ModelError),
        # The context is broken for good: the process must end, which is the supervisor's cue.
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), torch.AcceleratorError),
    ],
)
def test_each_error_says_whether_a_smaller_batch_a_reload_or_a_new_process_helps(
    raised: Exception, told: type[Exception]
) -> None:
    with pytest.raises(told) as caught, computing("detecting"):
        raise raised
    assert type(caught.value) is told


def test_inside_nothing_is_kept_for_gradients() -> None:
    with computing("detecting"):
        assert (torch.ones(1, requires_grad=True) * 2).requires_grad is False


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_named() -> None:
    assert choose_device("auto") == "cpu"
    with pytest.raises(ModelError, match="cuda:1 is configured"):
        choose_device("cuda:1")
