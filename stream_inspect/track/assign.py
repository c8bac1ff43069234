"""The best one-to-one matching of what lies within reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

FORBIDDEN = 1e6
"""A cost at or above this is not a match, whatever the alternatives."""


def assign(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """(row, column) pairs of the cheapest matching of a (rows, columns) matrix: most pairs first, then lowest cost."""
    if not cost.size:  # the array of no rows at all is not a matrix
        return []
    rows, columns = assign_rows(cost)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def assign_rows(cost: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """As `assign`: the rows, and the column of each."""
    rows, columns = linear_sum_assignment(cost)
    allowed = cost[rows, columns] < FORBIDDEN
    return rows[allowed], columns[allowed]
