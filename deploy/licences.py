"""Lists the licences of all that an installation brings: `python deploy/licences.py > docs/third-party-licences.md`.

What a wheel carries inside (FFmpeg in av's, libraries in OpenCV's) is not in its metadata and is noted by hand below.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution, requires

EXTRAS_NOT_INSTALLED = re.compile(r"extra\s*==")
CARRIED = {
    "av": "its wheels carry FFmpeg (LGPL-3.0-or-later by its own word) **with libx264 and libx265, which are "
    "GPL-2.0-or-later**",
    "opencv-python-headless": "its wheels carry FFmpeg without encoders under the GPL: LGPL-2.1-or-later",
    "torch": "the CUDA build brings NVIDIA's libraries under NVIDIA's terms",
    "pyzmq": "its wheels carry libzmq: MPL-2.0, and libsodium: ISC",
    "numpy": "its wheels carry OpenBLAS: BSD-3-Clause, and GCC's runtime with its exception",
    "scipy": "its wheels carry OpenBLAS: BSD-3-Clause, and GCC's runtime with its exception",
}


def licence_of(found: Distribution) -> str:
    """What the distribution says of its licence, in a few words."""
    metadata = found.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    named = [
        line.split("::")[-1].strip() for line in metadata.get_all("Classifier", []) if line.startswith("License ::")
    ]
    if named:
        return ", ".join(sorted(set(named) - {"OSI Approved"})) or named[0]
    return str(metadata.get("License", "not stated")).splitlines()[0][:60]


def installed(root: str) -> dict[str, Distribution]:
    """The root's requirements, direct and indirect, by name."""
    found: dict[str, Distribution] = {}
    todo = [root]
    while todo:
        name = todo.pop()
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        key = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        if key in found:
            continue
        found[key] = one
        needed = [line for line in requires(name) or [] if not EXTRAS_NOT_INSTALLED.search(line)]
        todo += [re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0] for line in needed]
    found.pop(re.sub(r"[-_.]+", "-", root).lower(), None)
    return found


def main() -> None:
    print("# Licences of third parties\n")
    print(
        "stream_inspect itself, its embedded models included, is under [Apache-2.0](LICENSE). An installation brings:\n"
    )
    print("| package | licence it states | what its wheels carry besides |\n|---|---|---|")
    for name, one in sorted(installed("stream-inspect").items()):
        print(f"| {one.metadata['Name']} | {licence_of(one)} | {CARRIED.get(name, '')} |")
    print(
        "\nNone of these is part of our wheel: pip installs them next to it. An image with everything inside\n"
        "distributes libx264 and libx265 as well, under the terms of the GPL. PyAV built from source against an LGPL\n"
        "FFmpeg avoids that (without x264 the recorder needs another H.264 encoder). asyncua is under\n"
        "LGPL-3.0-or-later: it is imported unchanged, and its user may replace it.\n\n"
        "The list is printed by `python deploy/licences.py`."
    )


if __name__ == "__main__":
    main()
