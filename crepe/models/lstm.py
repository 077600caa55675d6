"""The paper's LSTM (section 3.2): a recurrent network over words whose outputs are averaged over time.

Texts are computed as long as they are, all side by side, a word at a time: padding is never looked at, nor averaged.
A word outside the vocabulary is a zero vector and counts as one of the text's words.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from crepe.config.catalog import Network as NetworkSettings
from crepe.errors import CrepeError
from crepe.models.base import Inputs, Network, embed
from crepe.models.batch import Batch
from crepe.models.device import send


def build(network: NetworkSettings, inputs: Inputs) -> "LSTM":
    """An LSTM over texts of a length.

    Raises:
        CrepeError: the feature has no length; weights are asked for; `embedding` or `features` is 0.
    """
    if inputs.length is None or inputs.idf is not None:
        raise CrepeError("configuration: an LSTM needs a feature with a length, and its symbols are not weighted")
    if not network.embedding or not network.features:
        raise CrepeError("configuration: an LSTM needs embedding and features, 1 or more each")
    return LSTM(network, inputs.symbols, inputs.length, inputs.classes)


class LSTM(Network):
    """An LSTM over words, the mean of its outputs and a linear classifier.

    Args:
        network: `embedding` and `features`, the sizes of a word's vector and of an output.
        symbols: largest index in a text; index i is row i of the embedding table, index 0 a zero vector.
        length: most words of a text.
        classes: outputs.
    """

    def __init__(self, network: NetworkSettings, symbols: int, length: int, classes: int) -> None:
        super().__init__()
        self.length = length
        self.embedding = nn.Parameter(torch.empty(symbols + 1, network.embedding))
        self.lstm = nn.LSTM(network.embedding, network.features)
        self.connected = nn.Linear(network.features, classes)

    def forward(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Scores of a minibatch: float [rows, classes]."""
        device = batch.labels.device
        # An empty text is one word outside the vocabulary.
        lengths = np.clip(batch.lengths, 1, self.length)
        # Texts that reach each word; with the longest first, these are the first so many.
        reach = len(lengths) - np.searchsorted(lengths, np.arange(lengths[-1]), side="right")
        total, each = int(reach.sum()), send(reach, device)
        columns = torch.repeat_interleave(torch.arange(len(each), device=device), each, output_size=total)
        ranks = torch.arange(total, device=device) - (each.cumsum(0) - each)[columns]
        x = embed(batch.take(len(lengths) - 1 - ranks, columns), self.embedding, dtype)
        start = torch.zeros(1, len(lengths), self.lstm.hidden_size, dtype=dtype, device=device)
        weights = [weight.to(dtype) for weight in self.lstm.parameters()]
        sizes = torch.from_numpy(reach)
        y, _, _ = torch.lstm(x, sizes, (start, start), weights, True, 1, 0.0, self.training, False)
        padded, _ = pad_packed_sequence(PackedSequence(y, sizes), total_length=len(sizes))
        counts = send(lengths, device)
        # Back to the order of the batch, the shortest first.
        mean = padded.sum(0).flip(0) / counts[:, None].to(dtype)
        return F.linear(mean, *(parameter.to(dtype) for parameter in self.connected.parameters()))

    def padded(self, codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Compute the logits of padded texts of at most `length` columns.

        A text ends with its last word of the vocabulary, as the shards and `crepe predict` cut it; one without any is
        read as one word outside the vocabulary.
        """
        codes = F.pad(codes, (0, 1))  # Even codes without columns have a first word then.
        places = torch.arange(1, codes.shape[1] + 1, device=codes.device)
        lengths = (places * (codes > 0)).amax(1, keepdim=True).clamp(min=1)
        x = embed(codes, self.embedding, dtype).transpose(0, 1)
        # `len` would make the number of rows a constant of the export.
        start = torch.zeros(1, codes.shape[0], self.lstm.hidden_size, dtype=dtype, device=codes.device)
        weights = [weight.to(dtype) for weight in self.lstm.parameters()]
        outputs, _, _ = torch.lstm(x, (start, start), weights, True, 1, 0.0, self.training, False, False)
        inside = (places <= lengths).to(dtype)
        mean = (outputs.transpose(0, 1) * inside[:, :, None]).sum(1) / lengths.to(dtype)
        return F.linear(mean, *(parameter.to(dtype) for parameter in self.connected.parameters()))

    @property
    def word_vectors(self) -> nn.Parameter:
        """The look-up table, float [symbols + 1, size]."""
        return self.embedding
