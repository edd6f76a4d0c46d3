"""What every training here needs: checkpoints, a running mean of weights, rates, batches made ahead (torch).

Networks, losses and data are the families' own. Only what trains and exports imports this.
"""

from __future__ import annotations

import pickle
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.journal import LOG
from observatory.errors import ModelError, UnusableInputError

CHECKPOINT = "checkpoint.pt"

Made = TypeVar("Made")


def check_device(device: str) -> None:
    """Refuse a device that is none, and a graphics card that is not there.

    Raises
    ------
    UnusableInputError
    """
    if re.fullmatch(r"cpu|cuda(:\d+)?", device) is None:
        raise UnusableInputError(f"device {device}: there are cpu and cuda (cuda:1 is the second card)")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UnusableInputError(f"torch sees no {device} here: give --device cpu")


def check_counts(options: Any, *names: str) -> None:
    """Refuse options that are to count something and do not.

    Raises
    ------
    UnusableInputError
        When one of those that are named is below 1.
    """
    for name in names:
        if getattr(options, name) < 1:
            raise UnusableInputError(f"{name.replace('_', '-')} is 1 or more, not {getattr(options, name)}")


def check_split(validation_share: float, seed: int) -> None:
    """Refuse a share of frames to keep out that leaves none, and a seed that none can be.

    Raises
    ------
    UnusableInputError
    """
    if not 0 <= validation_share < 1:
        raise UnusableInputError(f"validation-share is 0 to below 1, not {validation_share:g}")
    if seed < 0:
        raise UnusableInputError(f"seed is 0 or more, not {seed}")


def begin_anew(folder: Path) -> None:
    """Remove the numbers of a former run, which are none of the one that begins."""
    (folder / LOG).unlink(missing_ok=True)


def stated(options: Any) -> dict[str, Any]:
    """The options of a run (a dataclass) as a checkpoint keeps them: paths as words."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    temporary = path.with_suffix(".part")
    torch.save(dict(state), temporary)
    temporary.replace(path)


def read_checkpoint(
    path: Path, device: torch.device | str = "cpu", config: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `write_checkpoint` wrote.

    Parameters
    ----------
    path : Path
    device : torch.device or str
        Where its tensors go.
    config : mapping, optional
        Shape of the network that shall go on from it; must be the checkpoint's ``config``.

    Raises
    ------
    ModelError
        When it is missing, no checkpoint, or of a network of another shape.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: train first, or name another checkpoint") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"{path} is no checkpoint that can be read ({error}): give the {CHECKPOINT} of a training"
        ) from error
    if config is not None and state["config"] != config:
        raise of_another_network(path)
    return dict(state)


def of_another_network(path: Path) -> ModelError:
    """The error for a checkpoint whose network is not the one to train."""
    return ModelError(
        f"{path} is of another network; give its options or another output folder, or start anew"
    )


def follow(mean: nn.Module, network: nn.Module, kept: float, step: int) -> None:
    """Move the running mean of the weights towards the network's.

    Parameters
    ----------
    mean, network : Module
        Of the same shape.
    kept : float
        Share of the mean that stays, 0 to below 1; less in the first steps, whose weights are soon forgotten.
    step : int
        Updates so far.
    """
    kept = min(kept, step / (step + 10))
    with torch.no_grad():
        pairs = zip(mean.state_dict().values(), network.state_dict().values(), strict=True)
        for old, new in pairs:
            if old.is_floating_point():
                old.lerp_(new, 1 - kept)
            else:
                old.copy_(new)


def descend(loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer, most: float) -> None:
    """One update against the loss, with the norm of the gradient limited to `most`."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), most)
    optimiser.step()


def warmed(step: int, steps: int) -> float:
    """Factor of the rate that grows to 1 over the first steps."""
    return min(1.0, (step + 1) / steps)


def cosine(share: float, last: float) -> float:
    """Factor of the rate that falls as a cosine from 1 to `last` over the run; `share` of it is over."""
    return float(last + (1 - last) / 2 * (1 + np.cos(np.pi * min(share, 1.0))))


def prefetch(make: Callable[[int], Made], first: int, last: int, ahead: int = 4) -> Iterator[Made]:
    """Batches number `first` to before `last`, made by a thread beside the training."""
    ready: queue.Queue[Made | BaseException] = queue.Queue(ahead)
    is_over = threading.Event()

    def hand_over(item: Made | BaseException) -> None:
        while not is_over.is_set():
            try:
                ready.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for step in range(first, last):
                hand_over(make(step))
                if is_over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  handed on to the training, which raises it
            hand_over(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in range(first, last):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_over.set()
        thread.join(timeout=5)
