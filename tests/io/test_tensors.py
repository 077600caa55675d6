"""crepe.io.tensors: the same bytes for the same content, and no damage that goes unnoticed."""

from pathlib import Path

import pytest
import torch

from crepe.errors import CrepeError
from crepe.io import tensors

ABOUT = {"classes": ["a", "é"], "rate": 0.1, "pairs": [[1, 2]]}
HELD = {
    "scalar": torch.tensor(3),
    "empty": torch.zeros(0, 2),
    "half": torch.arange(6).reshape(2, 3).to(torch.bfloat16),
    "flags": torch.tensor([True, False]),
    "turned": torch.arange(6.0).reshape(2, 3).T,
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors.write(path, ABOUT | {"tuple": (1, 2)}, HELD)
    about, held = tensors.read(path, "again")
    assert about == ABOUT | {"tuple": [1, 2]}
    assert held.keys() == HELD.keys()
    assert all(torch.equal(held[name], HELD[name]) and held[name].dtype == HELD[name].dtype for name in HELD)
    first = path.read_bytes()
    tensors.write(path, ABOUT | {"tuple": (1, 2)}, dict(reversed(HELD.items())))
    assert path.read_bytes() == first


def test_every_byte_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors.write(path, ABOUT, HELD)
    content = path.read_bytes()
    unnoticed = []
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            about, held = tensors.read(path, "again")
        except CrepeError as error:
            assert str(error).startswith(f"{path}: is damaged")  # noqa: PT017
            continue
        unnoticed.append(place)
        assert about == ABOUT
        assert all(torch.equal(held[name], HELD[name]) for name in HELD)
    # Spaces that fill the header may become something that is read as a space, too.
    assert len(unnoticed) <= 8
    for place in range(len(content)):
        path.write_bytes(content[:place])
        with pytest.raises(CrepeError, match=r"a\.safetensors: is damaged.*; again$"):
            tensors.read(path, "again")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrepeError, match=r"gone: is missing; again$"):
        tensors.read(tmp_path / "gone", "again")
    with pytest.raises(CrepeError, match=r"is damaged, or no file of tensors"):
        tensors.read(tmp_path, "again")
