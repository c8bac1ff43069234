from __future__ import annotations

import random

from stream_inspect.capture.backoff import Backoff


def test_waits_grow_from_a_tenth_to_a_second_and_begin_again() -> None:
    backoff = Backoff(random.Random(1))
    waits_s = [backoff.next_s() for _ in range(20)]
    assert waits_s[0] == 0.1
    assert all(0.1 <= wait_s <= 1.0 for wait_s in waits_s)
    assert min(waits_s[5:]) >= 0.5
    assert len(set(waits_s[5:])) > 10, "no jitter"
    backoff.reset()
    assert backoff.next_s() == 0.1
