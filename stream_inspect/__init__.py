"""stream_inspect: real-time video inspection of production lines, with defects described in plain words."""

__version__ = "0.1.0"
