"""Chooses the device that models run on, with the reason for the start-up log."""

import torch

from models.errors import JobError


def resolve_device(wanted: str) -> tuple[torch.device, str]:
    """Pick a device.

    Args:
        wanted: "auto", "cpu", "cuda" or "mps".

    Returns:
        The device, and why it was chosen.

    Raises:
        JobError: The wanted device is not there.
    """
    if wanted in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda"), f"CUDA device {torch.cuda.get_device_name()}"
    if wanted in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps"), "Apple GPU"
    if wanted in ("auto", "cpu"):
        why = "asked for" if wanted == "cpu" else "no GPU found"
        return torch.device("cpu"), f"CPU with {torch.get_num_threads()} threads ({why})"
    raise JobError(f"device {wanted!r} was asked for, but PyTorch finds none on this machine")
