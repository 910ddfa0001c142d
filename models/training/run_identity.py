"""The identity of a run: what it leaves for later ones is named by all that it is made of.

A state of training, or a tower's features of pictures, are used by runs of the same data, options
and weights to begin with. With anything else they are another thing, under another name, and stay
as they are.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.errors import InputError


class OtherRun(InputError):
    """A result is there already, made of something else; the message is a sentence."""


def fingerprint(*ingredients: object) -> str:
    """A short name for what something is made of; other ingredients give another name.

    Args:
        ingredients: Tensors, mappings of names to tensors, paths of files or of folders, which
            stand for what is in them, or whatever JSON can write.
    """
    digest = hashlib.sha256()
    for ingredient in ingredients:
        for piece in _pieces(ingredient):
            digest.update(hashlib.sha256(piece).digest())
        digest.update(b"/")
    return digest.hexdigest()[:10]


def state_path(folder: Path, name: str, made: str, suffix: str = ".pt") -> Path:
    """Where the state of a run made of this is, or will be; says so where only others' are."""
    path = folder / f"{name}-{made}{suffix}"
    others = sorted(other.name for other in folder.glob(f"{name}-*{suffix}"))
    if others and path.name not in others:
        print(
            f"{name}: begins anew; {', '.join(others)} in {folder} is of other settings or data "
            "and stays as it is",
            flush=True,
        )
    return path


def check_result(result: Path, record: Path, ingredients: Mapping[str, object]) -> bool:
    """Whether a result is there, made of just this.

    Args:
        result: The file that is written last of it.
        record: What it was made of, as `ingredients` of an earlier run; a result without a record
            is taken for this one.
        ingredients: Names and values that JSON can write.

    Raises:
        OtherRun: It is there, but made of something else.
    """
    if not result.exists():
        return False
    if record.exists():
        known = json.loads(record.read_text("utf-8"))
        others = [
            f"{name} {known.get(name)}, not {value}"
            for name, value in ingredients.items()
            if known.get(name) != value
        ]
        if others:
            raise OtherRun(
                f"{result.parent} is there already, made with {'; '.join(others)}: remove it to "
                "make it anew, or give another --out"
            )
    return True


def _pieces(ingredient: object) -> Iterator[bytes | memoryview]:
    if isinstance(ingredient, Tensor):
        yield ingredient.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    elif isinstance(ingredient, Path) and ingredient.is_dir():
        for path in sorted(path for path in ingredient.rglob("*") if path.is_file()):
            yield str(path.relative_to(ingredient)).encode()
            yield path.read_bytes()
    elif isinstance(ingredient, Path):
        yield ingredient.read_bytes()
    elif isinstance(ingredient, Mapping) and any(
        isinstance(v, Tensor) for v in ingredient.values()
    ):
        for name, value in ingredient.items():
            yield name.encode()
            yield from _pieces(value)
    else:
        yield json.dumps(ingredient, sort_keys=True).encode()
