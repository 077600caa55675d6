"""The paper's LSTM (section 3.2): a recurrent network over words, the mean of its outputs and a linear classifier.

Texts are computed as long as they are, side by side, one word of each at a time; little of what is computed is padding,
and none of it is averaged. Texts are packed for that: the longest comes first, and behind the first word of each text
stands the second of each that has one, and so on.

    word        0  1  2  3
    "a b c d"   a  b  c  d
    "e f"       e  f
    "g"         g
    reach       3  2  1  1     packed: a e g | b f | c | d

On a GPU cuDNN computes a packed sequence (`torch.nn.utils.rnn.PackedSequence`) in one operation. On a CPU torch takes
its words one by one, so training has a recurrence of its own there (`crepe.models.lstm.recurrence`). Without gradients,
oneDNN's operation for padded blocks is the fastest there, and a batch takes the form of stairs: time is cut where texts
end (at quantiles of their lengths), and each segment is a padded block of the texts that still have words. The state of
the block's first rows goes on to the next segment. With three segments for

    "a b c d e f"     a b | c d | e f
    "g h i j"         g h | i j |
    "k l"             k l |
    "m"               m . |            one padded step; a whole block would have eleven

All are the same function, and differ in the last bits.

A word outside the vocabulary is a zero vector and counts as one of the text's words; an empty text is one such word.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from crepe.errors import CrepeError
from crepe.models.base import Inputs, Network, embed
from crepe.models.batch import Batch
from crepe.models.device import send
from crepe.models.lstm import Settings
from crepe.models.lstm.recurrence import divide, recur

SEGMENTS = 8
"""Most segments that time is cut into: with more, blocks are small, and with fewer there is more padding."""


class LSTM(Network):
    """An LSTM over words, the mean of its outputs and a linear classifier.

    Args:
        settings: its hyper-parameters.
        inputs: sizes of input and output. Word i is row i of the look-up table, word 0 a zero vector.

    Raises:
        CrepeError: `inputs` has no length.
    """

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        super().__init__()
        if inputs.length is None:
            raise CrepeError("configuration", "an LSTM needs a feature with a max_length", "give its feature one")
        self.length = inputs.length
        self.embedding = nn.Parameter(torch.empty(inputs.vocab_size + 1, settings.embedding_dim))
        self.lstm = nn.LSTM(settings.embedding_dim, settings.hidden_size)
        self.connected = nn.Linear(settings.hidden_size, inputs.classes)

    def forward(self, batch: Batch, dtype: torch.dtype, packed: bool | None = None) -> Tensor:
        """Compute the logits of a batch.

        Args:
            batch: the texts, sorted by length.
            dtype: the dtype of the computation.
            packed: compute a packed sequence by torch's operation; if None, not on a CPU.

        Returns:
            dtype [rows, classes].
        """
        on_cpu = batch.labels.device.type == "cpu"
        if packed or (not on_cpu and packed is None):
            sums_of = self._packed
        else:
            sums_of = self._recurrence if torch.is_grad_enabled() else self._stairs
        lengths = np.clip(batch.lengths, 1, self.length)
        mean = sums_of(batch, lengths, dtype) / send(lengths, batch.labels.device)[:, None].to(dtype)
        return F.linear(mean, *(parameter.to(dtype) for parameter in self.connected.parameters()))

    def _recurrence(self, batch: Batch, lengths: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Sum each text's outputs for training on a CPU: arguments and result as of `_stairs`."""
        sizes = divide(lengths[::-1], torch.get_num_threads())
        parts = [part[::-1] for part in np.split(lengths[::-1], np.cumsum(sizes)[:-1])]
        reach = [_reach(part).tolist() for part in parts]
        # The batch has the longest text last.
        longest = len(lengths) - 1 - np.cumsum([0, *sizes])
        rows = [first - np.arange(count) for first, each in zip(longest, reach, strict=False) for count in each]
        columns = [np.repeat(np.arange(len(each)), each) for each in reach]
        row, column = (torch.from_numpy(np.concatenate(part)) for part in (rows, columns))
        x = embed(batch.take(row, column), self.embedding, dtype, sparse=True)
        input_weight, state_weight, input_bias, state_bias = self.lstm.parameters()
        return recur(x, reach, input_weight, state_weight, input_bias + state_bias).flip(0)

    def _stairs(self, batch: Batch, lengths: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Sum each text's outputs, segment by segment: dtype [rows, hidden_size].

        Args:
            batch: the texts.
            lengths: int64 [rows], ascending, number of words of each that are read, 1 or more.
            dtype: the dtype of the computation.
        """
        rows, device = len(lengths), batch.labels.device
        ends = np.unique(lengths[-(-rows * np.arange(1, SEGMENTS + 1) // SEGMENTS) - 1])
        starts = np.append(0, ends[:-1])
        reach = rows - np.searchsorted(lengths, starts, side="right")
        shapes = [(int(end - start), int(count)) for start, end, count in zip(starts, ends, reach, strict=True)]
        # Embedded at once: the gradient of each look-up is as large as the table.
        ranks = np.concatenate([np.tile(np.arange(count), steps) for steps, count in shapes])
        columns = np.repeat(np.arange(ends[-1]), np.repeat(reach, ends - starts))
        x = embed(batch.take(send(rows - 1 - ranks, device), send(columns, device)), self.embedding, dtype)
        inside = send(columns < lengths[rows - 1 - ranks], device).to(dtype)
        state = [torch.zeros(1, rows, self.lstm.hidden_size, dtype=dtype, device=device)] * 2
        weights = [weight.to(dtype) for weight in self.lstm.parameters()]
        sums = torch.zeros(rows, self.lstm.hidden_size, dtype=dtype, device=device)
        sizes = [steps * count for steps, count in shapes]
        parts = zip(shapes, x.split_with_sizes(sizes), inside.split_with_sizes(sizes), strict=True)
        for (steps, count), block, mask in parts:
            block = block.view(steps, count, -1)
            before = tuple(part[:, :count].contiguous() for part in state)
            outputs, *state = torch.lstm(block, before, weights, True, 1, 0.0, self.training, False, False)
            sums = sums + F.pad((outputs * mask.view(steps, count, 1)).sum(0), (0, 0, 0, rows - count))
        return sums.flip(0)

    def _packed(self, batch: Batch, lengths: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Sum each text's outputs from a packed sequence: arguments and result as of `_stairs`."""
        device = batch.labels.device
        reach = _reach(lengths)
        total, each = int(reach.sum()), send(reach, device)
        columns = torch.repeat_interleave(torch.arange(len(each), device=device), each, output_size=total)
        ranks = torch.arange(total, device=device) - (each.cumsum(0) - each)[columns]
        # The batch has the longest text last.
        x = embed(batch.take(len(lengths) - 1 - ranks, columns), self.embedding, dtype)
        start = torch.zeros(1, len(lengths), self.lstm.hidden_size, dtype=dtype, device=device)
        weights = [weight.to(dtype) for weight in self.lstm.parameters()]
        sizes = torch.from_numpy(reach)
        y, _, _ = torch.lstm(x, sizes, (start, start), weights, True, 1, 0.0, self.training, False)
        outputs, _ = pad_packed_sequence(PackedSequence(y, sizes), total_length=len(sizes))
        return outputs.sum(0).flip(0)

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
        """The look-up table, float [vocab_size + 1, embedding_dim]."""
        return self.embedding


def _reach(lengths: np.ndarray) -> np.ndarray:
    """Return the number of texts that have a first word, a second, ...: int64, of ascending lengths of 1 or more."""
    return len(lengths) - np.searchsorted(lengths, np.arange(lengths[-1]), side="right")
