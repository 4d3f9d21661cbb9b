"""OpenVINO, imported in one place, and silently.

`import openvino` would report itself over the network (openvino-telemetry), and load its model converter, which takes
as long as all the rest. Both are shut out here; `converter` gives the converter where an export needs it, `quantizer`
NNCF, which would report itself too.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from xlsr.errors import require

_TELEMETRY, _CONVERTER = "openvino_telemetry", "openvino.tools.ovc"


def openvino() -> ModuleType:
    """The package openvino, without telemetry and without its converter."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    # None in sys.modules makes an import fail; openvino then goes on without, by its own fallback.
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]
    sys.modules.setdefault(_CONVERTER, None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("openvino")
    finally:
        if sys.modules.get(_CONVERTER) is None:
            sys.modules.pop(_CONVERTER, None)


def converter() -> ModuleType:
    """openvino's converter of torch programs, without telemetry."""
    openvino()
    return importlib.import_module(_CONVERTER)


def quantizer() -> ModuleType:
    """NNCF, without telemetry.

    Raises:
        MissingDependencyError: it is not installed.
    """
    openvino()
    return require("nncf", "export", "a graph in eight bits")
