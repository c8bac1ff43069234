"""Loading a transformers model from a folder, offline, whole or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from stream_inspect.inspect import device as torch_device
from stream_inspect.inspect.detect.detector import ModelError


def load_model(model_class: Any, folder: Path, device: str, precision: str) -> Any:
    """A model in evaluation mode on its device. Raises `ModelError` when a weight is missing or of another shape.

    The dtype is always given: transformers would otherwise load a float16 checkpoint as float16, on a CPU too.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, info = model_class.from_pretrained(
                folder,
                dtype=torch_device.dtype_of(precision),
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises whatever its parsers raise; the file is at fault all the same
        raise ModelError(f"the model in {folder} cannot be loaded: {error}") from error
    lacking = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if lacking:
        raise ModelError(
            f"the model in {folder} lacks {len(lacking)} weights (the first: {lacking[0]}): "
            "its config.json and its weights do not belong together, copy or pull it again"
        )
    with torch_device.computing(f"moving the model to {device}"):
        return model.to(device).eval()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in this folder. Raises `ModelError`."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ModelError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
