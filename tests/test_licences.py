"""Every dependency has a licence that an Apache-2.0 product may stand on, and is listed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PERMITTED = re.compile(r"MIT|BSD|Apache|ISC|PSF|MPL|Mozilla Public|EPL|Zlib|Unlicense|HPND|FreeBSD|CC0", re.IGNORECASE)

LGPL = {"asyncua"}
"""Imported unchanged, installed by pip beside our wheel, and replaceable by the user: then the LGPL asks no more."""


def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / "deploy" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_dependency_has_a_licence_we_have_not_thought_about():
    module = licences()
    stated = {name: module.licence_of(one) for name, one in module.installed("stream-inspect").items()}
    assert len(stated) > 20
    unknown = {name: licence for name, licence in stated.items() if not PERMITTED.search(licence)}
    nvidia = {
        name for name in unknown if name.startswith(("nvidia-", "cuda-"))
    }  # of torch's CUDA build, listed by hand
    lgpl = {name for name, licence in unknown.items() if name in LGPL and "Lesser General Public" in licence}
    assert not unknown.keys() - nvidia - lgpl


def test_every_direct_dependency_is_listed():
    listed = (ROOT / "docs" / "third-party-licences.md").read_text()
    pyproject = (ROOT / "pyproject.toml").read_text()
    block = pyproject.split("dependencies = [", 1)[1].split("]", 1)[0]
    names = re.findall(r'"([A-Za-z0-9_.-]+)', block)
    assert len(names) > 15
    for name in names:
        assert re.search(rf"^\| {re.escape(name)} \|", listed.replace("_", "-"), re.MULTILINE | re.IGNORECASE), name
