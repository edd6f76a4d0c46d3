"""What `make demo` and a worker import is installed without the training's libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import heliowatch

_IMPORTS = """
import sys
for name in ("torch", "scipy", "skimage", "sklearn", "matplotlib", "h5py", "onnx", "onnxscript"):
    sys.modules[name] = None
import heliowatch.demo, heliowatch.simulation, heliowatch.house, workers.cutouts
from models import registry
from workers.pipelines import _classes
print(*sorted(_classes()), *registry.families_with("evaluate"))
"""


def test_pipelines_simulators_and_the_demo_do_without():
    home = str(Path(heliowatch.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", _IMPORTS],
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert {"halpha", "aia", "hmi", "hmi_enhancement"} <= set(ended.stdout.split())
