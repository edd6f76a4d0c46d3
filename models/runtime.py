"""ONNX Runtime sessions: the only place that imports onnxruntime.

A session belongs to the process that made it: one made before a fork runs half as fast in the
child, so sessions are made at first use and again after a fork. A device that was asked for and not
given is an error: ONNX Runtime itself falls back to the CPU in silence.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from observatory.errors import ModelError, ProviderUnavailableError

#: Device names that people write, and ONNX Runtime's providers.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "gpu": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}


class Session:
    """One network ready to run.

    Attributes
    ----------
    path : Path
    providers : tuple of str
        What ONNX Runtime really gave, best first.
    """

    def __init__(self, path: Path, inner: Any) -> None:
        self.path = path
        self._inner = inner
        self.providers: tuple[str, ...] = tuple(inner.get_providers())
        self.input_names: tuple[str, ...] = tuple(node.name for node in inner.get_inputs())
        self.output_names: tuple[str, ...] = tuple(node.name for node in inner.get_outputs())
        self.input_shapes: dict[str, tuple[Any, ...]] = {
            node.name: tuple(node.shape) for node in inner.get_inputs()
        }

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Run the network; returns the named outputs, or all."""
        names = list(outputs) if outputs is not None else list(self.output_names)
        return dict(zip(names, self._inner.run(names, dict(inputs)), strict=True))

    def warm_up(self, batch: int = 1) -> None:
        """Run once on zeros, so that the first frame does not pay for memory and kernels."""
        inputs = {
            name: np.zeros([batch if not isinstance(n, int) else n for n in shape], np.float32)
            for name, shape in self.input_shapes.items()
        }
        self.run(inputs)


class Runtime:
    """Makes sessions on one device, one per network and process.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda`` (``gpu``), ``tensorrt``, ``openvino``; ``cuda:1`` picks a card.
    intra_op_threads : int
        Threads within one call. Processes beside each other gain more than threads within.
    arena : bool
        Keep ONNX Runtime's memory pool. False saves memory with large tiles at no cost in time.
    networks : sequence of Path
        Folders of networks that families use in place of those that ship.
    disturbance : mapping of str to Path
        Instruments that have a model of their station's magnetic disturbance, and where it is.
    available_providers : callable, optional
        For tests: what this installation can do.
    session_factory : callable, optional
        For tests: makes the inner session of (path, session options, providers).
    """

    def __init__(
        self,
        device: str = "cpu",
        intra_op_threads: int = 1,
        *,
        arena: bool = True,
        networks: Sequence[Path] = (),
        disturbance: Mapping[str, Path] | None = None,
        available_providers: Callable[[], Sequence[str]] | None = None,
        session_factory: Callable[[str, Any, list[Any]], Any] | None = None,
    ) -> None:
        name, _, index = device.partition(":")
        if name not in PROVIDERS:
            raise ProviderUnavailableError(device, sorted(PROVIDERS))
        self.device = device
        self.provider = PROVIDERS[name]
        self.intra_op_threads = intra_op_threads
        self.arena = arena
        self.networks = tuple(networks)
        self.disturbance: Mapping[str, Path] = dict(disturbance or {})
        self._card = int(index) if index.isdigit() else 0
        self._available = available_providers
        self._factory = session_factory
        self._sessions: dict[Path, Session] = {}
        self._process = os.getpid()
        self._lock = threading.Lock()

    def session(self, path: Path | str) -> Session:
        """The session of a network in this process, made when first asked for.

        Raises
        ------
        ProviderUnavailableError
            When the device was not given.
        ModelError
            When the file is missing or no network.
        """
        path = path if isinstance(path, Path) else Path(path)  # one that is asked for again knows its hash
        if self._process != os.getpid():  # we are a fork: nothing of the parent's may be used
            self._lock = threading.Lock()
            self._sessions = {}
            self._process = os.getpid()
        with self._lock:
            if path not in self._sessions:
                self._sessions[path] = self._make(path)
            return self._sessions[path]

    def forget(self, kept: Sequence[Path]) -> None:
        """Let go of the sessions of all networks but these; who runs one now still has it to the end."""
        with self._lock:
            self._sessions = {path: one for path, one in self._sessions.items() if path in kept}

    def warm_up(self, paths: Sequence[Path | str]) -> None:
        """Make and run the sessions of several networks."""
        for path in paths:
            self.session(path).warm_up()

    def _make(self, path: Path) -> Session:
        import onnxruntime

        available = list((self._available or onnxruntime.get_available_providers)())
        if self.provider not in available:
            raise ProviderUnavailableError(self.provider, available)
        if not path.exists():
            raise ModelError(f"{path} is missing: restore it from the project or export it again")
        factory = self._factory or (
            lambda name, options, providers: onnxruntime.InferenceSession(
                name, sess_options=options, providers=providers
            )
        )
        if self.provider == "CUDAExecutionProvider" and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA and cuDNN come as wheels, where no linker looks
        try:
            inner = factory(str(path), self._options(onnxruntime), self._providers())
        except Exception as error:  # ONNX Runtime's own errors share no root but this
            raise ModelError(f"{path} cannot be loaded as a network: {error}") from error
        session = Session(path, inner)
        # Only the session tells what was given: a missing CUDA library leaves the CPU, silently.
        if self.provider not in session.providers:
            raise ProviderUnavailableError(self.provider, list(session.providers))
        return session

    def _options(self, onnxruntime: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.intra_op_threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = self.arena
        options.log_severity_level = 3
        # Spinning threads burn a core that another worker could use, and gain nothing (measured).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _providers(self) -> list[Any]:
        if self.provider == "CPUExecutionProvider":
            return [self.provider]
        options: dict[str, Any] = {"device_id": self._card}
        if self.provider == "CUDAExecutionProvider":
            # An exhaustive search costs seconds for each new shape; heuristics lose little.
            options["cudnn_conv_algo_search"] = "HEURISTIC"
        # The CPU stays second for single operators that a device lacks, never in place of it.
        return [(self.provider, options), "CPUExecutionProvider"]
