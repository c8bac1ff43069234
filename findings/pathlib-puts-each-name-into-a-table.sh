#!/bin/sh
# Guess:    a Path that is dropped costs nothing afterwards.
# Seen:     each part of its name is interned. A name that nothing holds is taken out of the table of interned strings
#           again, but its place there is not: after some thousand names the table is made larger, by a megabyte at
#           once in a process with 40,000 interned strings, in a program that keeps no Path at all.
# Versions: Python 3.11.7.
# Source:   Lib/pathlib.py, _Flavour.parse_parts (sys.intern); Objects/dictobject.c, insertion_resize.
# Do:       text and os.path where the names of files are many and new each time.
set -eu
python3 - <<'END'
import sys
from pathlib import Path


def own_kb():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss_Anon"))


held = [sys.intern(f"held {number}") for number in range(40_000)]


def grown_kb(make):
    """By how much memory grows while so many names are made and dropped."""
    before_kb = own_kb()
    for number in range(100_000):
        make(f"/clips/{number}.mp4")
    return own_kb() - before_kb


text, paths = grown_kb(str), grown_kb(Path)
print(f"100,000 names made and dropped: {text} kB as text, {paths} kB as Path")
sys.exit(not (text < 200 and paths > 500))
END
