from pathlib import Path

import pytest
import torch

from crepe import checkpoints


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"a": torch.full((3, 2), value), "b": torch.arange(5)}


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    for number in (8, 16, 24):
        checkpoints.save(tmp_path, number, "run", {"done": number}, tensors(number))
    assert len(list(tmp_path.iterdir())) == 2
    state, found = checkpoints.load(tmp_path, "run")
    assert state == {"done": 24}
    assert torch.equal(found["a"], torch.full((3, 2), 24.0))
    checkpoints.remove(tmp_path)
    assert not list(tmp_path.iterdir())
    assert checkpoints.load(tmp_path, "run") is None


def test_channels_last_tensors_keep_their_values(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 1, 4).to(memory_format=torch.channels_last)
    checkpoints.save(tmp_path, 1, "run", {}, {"image": image})
    assert torch.equal(checkpoints.load(tmp_path, "run")[1]["image"], image)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, damage: str, capsys) -> None:
    for number in (1, 2):
        checkpoints.save(tmp_path, number, "run", {"done": number}, tensors(number))
    path = tmp_path / "checkpoint-0000000002.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-7]
    elif damage == "flip":
        content[-3] ^= 1
    path.write_bytes({"empty": b"", "text": b"not a checkpoint at all"}.get(damage, bytes(content)))
    state, found = checkpoints.load(tmp_path, "run")
    assert state == {"done": 1}
    assert found["a"][0, 0] == 1
    assert f"{path}: is damaged" in capsys.readouterr().err


def test_one_of_another_run_is_passed_over(tmp_path: Path, capsys) -> None:
    checkpoints.save(tmp_path, 1, "other", {}, tensors(1))
    assert checkpoints.load(tmp_path, "run") is None
    assert "of another configuration" in capsys.readouterr().err
