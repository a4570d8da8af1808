"""Folders of small pictures."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image


@pytest.fixture
def pictures(tmp_path) -> Callable[..., Path]:
    """Write smooth JPEGs of different sizes, or all of one, such as `pictures("train/cat", 3)` ->
    the root folder.
    """

    def write(folder: str, count: int, size: int = 24, varied: bool = True) -> Path:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(len(folder))
        for number in range(count):
            shape = (size + number % 3, size + number % 5) if varied else (size, size)
            coarse = torch.rand(1, 3, 6, 6, generator=generator) * 255
            image = torch.nn.functional.interpolate(coarse, shape, mode="bilinear")[0].byte()
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(
                tmp_path / folder / f"{number:03}.jpg"
            )
        return tmp_path

    return write


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    """Cut the second half off a file."""

    def cut(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])

    return cut
