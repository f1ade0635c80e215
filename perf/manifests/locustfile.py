# ruff: noqa: INP001 - it lies in a ConfigMap, in no package
"""The locustfile of a cluster: a ConfigMap is flat, so the modules lie beside this file instead of in their package.

They are given the package's name here, and are otherwise the files of a checkout.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

_HERE = str(Path(__file__).parent)
for _name in ("lbproof_perf", "lbproof_perf.load"):
    _package = ModuleType(_name)
    _package.__path__ = [_HERE]
    sys.modules.setdefault(_name, _package)

from lbproof_perf.load.users import *  # noqa: E402, F403 - the package must be there first; Locust looks for classes here
