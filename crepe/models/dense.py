"""The same ConvNet computed plainly, as other implementations do: the yardstick of tests and of `crepe bench`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.batches import Batch
from crepe.models import embed
from crepe.models.convnet import ConvNet, rectify, working


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
    kernels = working(network.convolutions, dtype)
    device = batch.labels.device
    codes = batch.take(torch.arange(len(batch), device=device)[:, None], torch.arange(network.length, device=device))
    if network.embedding is None:
        x = F.one_hot(codes, kernels[0][0].shape[1] + 1)[:, :, 1:].to(dtype).transpose(1, 2)
    else:
        x = embed(codes, network.embedding, dtype).transpose(1, 2)
    if channels_last:
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    for (weight, bias), pool in zip(kernels, network.pools, strict=True):
        if channels_last:
            x = F.max_pool2d(rectify(F.conv2d(x, weight, bias)), (1, pool))
        else:
            x = F.max_pool1d(rectify(F.conv1d(x, weight.squeeze(2), bias)), pool)
    (weight, bias), *others = working(network.connected, dtype)
    x = F.linear(x.flatten(2).transpose(1, 2).flatten(1), weight, bias)
    for weight, bias in others:
        x = F.linear(F.dropout(rectify(x), network.dropout, network.training), weight, bias)
    return x
