"""One thread: on a machine whose cores are busy, two that wait for each other take a hundred times as long."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
