"""What does not fit, for those who must say so: an adapter, and a gallery nobody holds."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.settings import RerankerSettings
from tests.conftest import BuiltGallery


@pytest.fixture
def foreign_adapter(tmp_path: Path) -> Path:
    """The shipped adapter, as it would be for a wider base."""
    folder = tmp_path / "foreign"
    shutil.copytree(str(RerankerSettings().adapter_source), folder)
    path = folder / "adapter_model.safetensors"
    wider = {
        name: torch.cat([value, value], dim=1) if "lora_A" in name else value
        for name, value in load_file(path).items()
    }
    save_file(wider, path, {"format": "pt"})
    return folder


@pytest.fixture
def copied_gallery(built_gallery: BuiltGallery, tmp_path: Path) -> Path:
    """The built gallery's folder, copied, to be changed."""
    if built_gallery.gallery.url is not None:
        pytest.skip("about a folder, and the gallery is on a server")
    return shutil.copytree(built_gallery.gallery.path, tmp_path / "qdrant")
