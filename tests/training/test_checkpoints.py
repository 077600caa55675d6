from pathlib import Path

import pytest
import torch

from crepe.training import checkpoints


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"a": torch.full((3, 2), value), "b": torch.arange(5)}


LIKE = tensors(0)


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    for number in (8, 16, 24):
        checkpoints.save(tmp_path, number, "run", {"done": number}, tensors(number))
    assert len(list(tmp_path.iterdir())) == 2
    state, found = checkpoints.load(tmp_path, "run", LIKE)
    assert state == {"done": 24}
    assert torch.equal(found["a"], torch.full((3, 2), 24.0))
    checkpoints.remove(tmp_path)
    assert not list(tmp_path.iterdir())
    assert checkpoints.load(tmp_path, "run", LIKE) is None


def test_channels_last_tensors_keep_their_values(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 1, 4).to(memory_format=torch.channels_last)
    checkpoints.save(tmp_path, 1, "run", {}, {"image": image})
    assert torch.equal(checkpoints.load(tmp_path, "run", {"image": image})[1]["image"], image)


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
    state, found = checkpoints.load(tmp_path, "run", LIKE)
    assert state == {"done": 1}
    assert found["a"][0, 0] == 1
    assert f"{path}: is damaged" in capsys.readouterr().err


def test_one_of_another_run_is_passed_over(tmp_path: Path, capsys) -> None:
    checkpoints.save(tmp_path, 1, "other", {}, tensors(1))
    assert checkpoints.load(tmp_path, "run", LIKE) is None
    said = capsys.readouterr().err
    assert "of another configuration" in said
    assert "starts from the beginning" in said


def test_no_byte_can_be_wrong_and_no_end_missing(tmp_path: Path, capsys) -> None:
    """Each byte of the newest, changed in two ways, and each length that it may be cut to."""
    for number in (1, 2):
        checkpoints.save(tmp_path, number, "run", {"done": number}, tensors(number))
    path = tmp_path / "checkpoint-0000000002.safetensors"
    content = path.read_bytes()
    damaged = [content[:length] for length in range(len(content))]
    for place in range(len(content)):
        for bits in (1, 0x80):
            damaged.append(content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :])
    for bad in damaged:
        path.write_bytes(bad)
        assert checkpoints.load(tmp_path, "run", LIKE)[0] == {"done": 1}
        assert "is damaged" in capsys.readouterr().err


def test_with_both_damaged_the_run_starts_from_the_beginning(tmp_path: Path, capsys) -> None:
    for number in (1, 2):
        checkpoints.save(tmp_path, number, "run", {}, tensors(number))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert checkpoints.load(tmp_path, "run", LIKE) is None
    said = capsys.readouterr().err
    assert said.count("is damaged") == 2
    assert f"{tmp_path}: none of its checkpoints can be used; the training starts from the beginning" in said


@pytest.mark.parametrize("identity", ["run", "other"])
def test_what_cannot_be_used_does_not_push_out_what_can(tmp_path: Path, identity: str) -> None:
    """Checkpoints of higher numbers, damaged or of another configuration, when the run begins anew."""
    for number in (80, 90):
        checkpoints.save(tmp_path, number, identity, {}, tensors(number))
    for path in tmp_path.iterdir():
        if identity == "run":
            path.write_bytes(b"damaged")
    for number in (10, 20, 30):
        checkpoints.save(tmp_path, number, "run", {"done": number}, tensors(number))
        assert checkpoints.load(tmp_path, "run", LIKE)[0] == {"done": number}
    assert sorted(path.name[-14:-12] for path in tmp_path.iterdir()) == ["20", "30"]


def test_one_of_other_tensors_is_passed_over(tmp_path: Path, capsys) -> None:
    checkpoints.save(tmp_path, 1, "run", {}, {"a": torch.zeros(2, 3), "b": torch.arange(5)})
    assert checkpoints.load(tmp_path, "run", LIKE) is None
    assert "of another configuration" in capsys.readouterr().err
