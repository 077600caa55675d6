"""What is not a model is refused with the reason."""

import pytest
import torch
from safetensors.torch import save_file

from crepe.errors import CrepeError
from crepe.io import tensors
from crepe.models import saved
from tests.support.classifiers import write

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def foreign(path):
    save_file({"x": torch.zeros(1)}, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; run `crepe train` again, or `dvc pull`"),
        (b"", "is damaged, or no file of tensors of this version"),
        (b"\x10\0\0\0\0\0\0\0not json at all!", "is damaged, or no file of tensors of this version"),
        (POINTER, "only points to a model that Git LFS keeps; fetch it: git lfs pull"),
        (foreign, "is damaged, or no file of tensors of this version"),
        ({}, "is no model that this version can use"),
        ({"network": [1]}, "is no model that this version can use"),
        # As version 0.1 wrote it.
        ({"network": {"kind": "lstm", "features": 4}}, r"can use \(its network: features: unknown key"),
    ],
)
def test_refusals(tmp_path, content, message):
    path = tmp_path / saved.FILE
    if isinstance(content, dict):
        tensors.write(path, content, {"x": torch.zeros(1)})
    elif callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(CrepeError, match=message) as caught:
        saved.load(tmp_path, torch.device("cpu"))
    assert str(caught.value).startswith(f"{path}: ")


def test_a_truncated_model(tmp_path):
    path = write(tmp_path, "bag") / saved.FILE
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CrepeError, match="is damaged"):
        saved.load(path, torch.device("cpu"))
