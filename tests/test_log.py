"""What every log line of a process carries."""

from __future__ import annotations

import json
import subprocess
import sys


def test_every_line_names_its_process_whichever_thread_or_library_wrote_it() -> None:
    program = """
import logging, threading
from stream_inspect import log
log.configure("info", "json", process="track")
log.get_logger("stage", camera="top").info("ours")
thread = threading.Thread(target=log.get_logger("stage").info, args=("of a thread",))
thread.start()
thread.join()
logging.getLogger("paho").warning("of a library")
log.get_logger("supervisor").info("of another", process="web")
"""
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["process"]) for line in lines] == [
        ("ours", "track"),
        ("of a thread", "track"),
        ("of a library", "track"),
        ("of another", "web"),
    ]
