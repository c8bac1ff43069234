"""Where torch computes, and that it computes the same every time."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from stream_inspect.inspect.detect.detector import ModelError, OutOfMemoryError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(wanted: str) -> str:
    """`auto` becomes `cuda` where there is one, otherwise `cpu`. Raises `ModelError` for a device that is missing."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ModelError(
                f"device {wanted} is configured, but torch {torch.__version__} finds no CUDA device: "
                "check the driver and that torch's CUDA build is installed, or set `device: cpu`"
            )
        number = int(wanted.partition(":")[2] or 0)
        if number >= torch.cuda.device_count():
            raise ModelError(f"device {wanted} is configured, but there are {torch.cuda.device_count()} CUDA devices")
    return wanted


def dtype_of(precision: str) -> torch.dtype:
    """torch's dtype of a configured precision."""
    return _DTYPES[precision]


def set_up(threads: int) -> None:
    """Settings of the whole process: number of CPU threads, and only algorithms that give the same bits each time."""
    # cuBLAS reads this when its first handle is made; without it its results depend on the streams' timing.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # the patch embedding is a convolution: 10 bits of mantissa are too few
    torch.backends.cuda.matmul.allow_tf32 = False


def give_back_memory(device: str) -> None:
    """Free the memory of a model that is no longer referenced. Never raises: a broken context can free nothing."""
    gc.collect()
    if device != "cpu":
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


@contextmanager
def computing(what: str) -> Iterator[None]:
    """Run torch without gradients; what goes wrong becomes `OutOfMemoryError` or `ModelError` naming `what`.

    An error of the accelerator other than missing memory goes through: after it only a new process can use the device
    again, so this one must exit and be restarted.
    """
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemoryError(f"{what}: the device ran out of memory") from error
    except MemoryError as error:
        raise OutOfMemoryError(f"{what}: the computer ran out of memory") from error
    except torch.AcceleratorError as error:
        if "out of memory" in str(error):
            raise OutOfMemoryError(f"{what}: the device ran out of memory") from error
        raise
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise OutOfMemoryError(f"{what}: the computer ran out of memory") from error
        raise ModelError(f"{what} failed: {error}") from error
