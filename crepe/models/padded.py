"""The same networks computed plainly on padded texts, as other implementations do.

They are the yardstick of tests and of `crepe bench`, and what `crepe export` writes: ONNX has nothing ragged.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.models import embed
from crepe.models.batch import Batch
from crepe.models.convnet import ConvNet, drop, working
from crepe.models.linear import Linear
from crepe.models.lstm import LSTM
from crepe.models.packed import rectify


def dense(network: ConvNet, batch: Batch, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    """Scores of `network` with every text as a one-hot matrix padded to the full length.

    Args:
        network: whose parameters are used.
        batch: the rows.
        dtype: what is computed in.
        channels_last: one-row images in that memory format (fast in bfloat16) instead of Conv1d.

    Returns:
        float [rows, classes], as `network(batch, dtype)`.
    """
    device = batch.labels.device
    codes = batch.take(torch.arange(len(batch), device=device)[:, None], torch.arange(network.length, device=device))
    return convnet(network, codes, dtype, channels_last)


def convnet(network: ConvNet, codes: Tensor, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    """The same of texts that are padded already.

    Args:
        network: whose parameters are used.
        codes: int64 [rows, length], 0 behind the ends; the length is the network's.
        dtype: what is computed in.
        channels_last: see `dense`.

    Returns:
        float [rows, classes].
    """
    kernels = working(network.convolutions, dtype)
    if network.embedding is None:
        x = F.one_hot(codes, kernels[0][0].shape[1] + 1)[:, :, 1:].to(dtype).transpose(1, 2)
    else:
        x = embed(codes, network.embedding, dtype).transpose(1, 2)
    if channels_last:
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    for (weight, bias), pool in zip(kernels, network.geometry.pools, strict=True):
        if channels_last:
            x = F.max_pool2d(rectify(F.conv2d(x, weight, bias)), (1, pool))
        else:
            x = F.max_pool1d(rectify(F.conv1d(x, weight.squeeze(2), bias)), pool)
    (weight, bias), *others = working(network.connected, dtype)
    x = F.linear(x.flatten(2).transpose(1, 2).flatten(1), weight, bias)
    for weight, bias in others:
        x = F.linear(drop(rectify(x), network.dropout if network.training else 0.0), weight, bias)
    return x


def linear(network: Linear, codes: Tensor) -> Tensor:
    """Scores of texts padded to any length: float32 [rows, classes].

    Args:
        network: whose parameters are used.
        codes: int64 [rows, columns], 0 behind the ends.
    """
    known = (codes > 0).float()
    weights = known
    if network.idf is not None:
        # How often the symbol of each place occurs in its text: every place is held against every other.
        counts = (codes[:, :, None] == codes[:, None, :]).float().sum(2)
        idf = network.idf[codes] * known
        squares = (counts * idf**2).sum(1, keepdim=True)
        weights = idf * squares.clamp(min=1e-12).rsqrt()
    return (network.table[codes] * weights[:, :, None]).sum(1) + network.bias


def lstm(network: LSTM, codes: Tensor) -> Tensor:
    """Scores of texts padded to any length up to the network's: float32 [rows, classes].

    Args:
        network: whose parameters are used.
        codes: int64 [rows, columns], 0 for words outside the vocabulary and behind the ends.
    """
    # A text ends with its last word of the vocabulary; an empty one is one word outside of it.
    places = torch.arange(1, codes.shape[1] + 1, device=codes.device)
    lengths = (places * (codes > 0)).amax(1, keepdim=True).clamp(min=1)
    outputs, _ = network.lstm(embed(codes, network.embedding, torch.float32).transpose(0, 1))
    inside = (places <= lengths).float()
    mean = (outputs.transpose(0, 1) * inside[:, :, None]).sum(1) / lengths
    scores: Tensor = network.connected(mean)
    return scores


class Padded(nn.Module):
    """A network as a function of padded texts: float32 [rows, classes] probabilities of int64 [rows, columns].

    Raises:
        ValueError: there is no plain form of a network of this kind.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, ConvNet | Linear | LSTM):
            raise ValueError(f"there is no plain form of {type(network).__name__} in crepe/models/padded.py")
        self.network = network

    def forward(self, codes: Tensor) -> Tensor:
        """Probabilities of the classes."""
        if isinstance(self.network, ConvNet):
            scores = convnet(self.network, codes, torch.float32)
        elif isinstance(self.network, Linear):
            scores = linear(self.network, codes)
        else:
            scores = lstm(self.network, codes)
        return F.softmax(scores, dim=1)
