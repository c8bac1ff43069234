"""`python -m stream_inspect` is `stream-inspect`."""

from stream_inspect.cli import main

main()
