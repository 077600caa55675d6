"""The paper's ConvNets (section 2.3, tables 1 and 2), computed at the cost of the text instead of the padding.

**The function.** A text is a matrix with one column a character or word, padded with all-zero columns to a fixed
length (1014). Layers are convolution, rectifier and, for some, max-pooling; the outcome is read column by column
("time-major") into fully connected layers with dropout.

**The trick.** Behind the end of a text every column is the same, and stays the same through the layers: if the
columns of a layer's input are constant from column `used` on, a convolution of kernel width w and a pooling of
width p make output columns constant from column ceil(used / p) on. So each layer is run on the used columns and the
few constant ones that the last of them look into, and nothing else. The constant itself is what the layers make of a
text without a single character: one such text goes along with every minibatch, and wherever a column is missing, its
column is put. Autograd sees nothing but a network that reads one column many times; output, loss and gradients are
those of the padded network.

**Packed columns.** All texts of a minibatch stand behind one another in one matrix [total columns, features]
(`crepe.models.packed`): no row pays for the length of another. Convolution runs over the whole of it, heedless of where
one text ends; the columns that look into two texts are spare, and dropped when columns are moved to where the next
layer needs them. So a layer is a few large matrix products, which every device is best at and which ask for no
particular shape.

**The order of operations.** Adding a bias and the rectifier commute with taking a maximum, so pooling comes first,
and they see a third of the columns. A convolution over one-hot columns is a sum of rows of a table, one for each
(position in the kernel, symbol), and is computed so. The first fully connected layer takes its columns in blocks, each
for the rows that reach that far and, once for all others, for the constant.

**On a GPU** nothing but the sum of the lengths, rounded up, decides on the shapes of what is computed, so that a step
can be recorded and played again (`crepe.training.step`): where columns stand is worked out on the device
(`crepe.models.plan`), and the last convolution's output is filled up with the constant. That costs little there, and is
the same function.
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.config.catalog import Network as NetworkSettings
from crepe.errors import CrepeError
from crepe.models.base import Inputs, Network, embed
from crepe.models.batch import Batch
from crepe.models.packed import activate, convolve, convolve_moved, lookup, move, ragged_linear, rectify
from crepe.models.plan import Geometry, Plan


def build(network: NetworkSettings, inputs: Inputs) -> "ConvNet":
    """A ConvNet for texts of a length.

    Raises:
        CrepeError: the feature has none, or the layers leave nothing of it; weights are asked for.
    """
    if inputs.length is None or inputs.idf is not None:
        raise CrepeError("configuration: a ConvNet needs a feature with a length, and its symbols are not weighted")
    return ConvNet(network, inputs.symbols, inputs.length, inputs.classes)


class ConvNet(Network):
    """A ConvNet over characters or words.

    Args:
        network: the layers.
        symbols: largest index in a text; index i is the one-hot column i - 1 or row i of the embedding table, index
            0 the all-zero column.
        length: columns of the padded text.
        classes: outputs.

    Raises:
        CrepeError: the layers leave nothing of `length` columns.
    """

    def __init__(self, network: NetworkSettings, symbols: int, length: int, classes: int) -> None:
        super().__init__()
        self.length = length
        self.dropout = network.dropout
        self.geometry = Geometry(length, network.convolutions)
        self.embedding = nn.Parameter(torch.empty(symbols + 1, network.embedding)) if network.embedding else None
        widths = [network.embedding or symbols] + [network.features] * len(network.convolutions)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, (1, kernel))
            for (inputs, outputs), (kernel, _) in zip(pairwise(widths), network.convolutions, strict=True)
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        columns = self.geometry.limits[-1]
        if columns == 0:
            raise CrepeError(
                f"configuration: the convolutions leave no column of a text of {length}; make length larger"
            )
        sizes = [columns * network.features, *network.hidden, classes]
        self.connected = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes))

    def forward(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Scores (log-probabilities but for a constant) of a minibatch: float [rows, classes].

        Args:
            batch: the rows.
            dtype: what is computed in; the parameters keep theirs, and their gradients too.
        """
        constant, *stacked = self._convolve(batch, dtype)
        first, *others = self.connected
        large, small = first.parameters()
        x = ragged_linear(stacked, constant, large, small.to(dtype))
        for weight, bias in working(others, dtype):
            x = F.linear(drop(rectify(x), self.dropout if self.training else 0.0), weight, bias)
        return x

    def padded(self, codes: Tensor, dtype: torch.dtype = torch.float32, channels_last: bool = False) -> Tensor:
        """Compute the logits plainly, each text as a matrix of `length` columns: dtype [rows, classes].

        Args:
            codes: int64 [rows, columns], 0 behind the end of a text; columns behind `length` are not read.
            dtype: the dtype of the computation.
            channels_last: whether to convolve images of one row in that memory format, fast in bfloat16, instead of
                by Conv1d.
        """
        codes = F.pad(codes, (0, self.length))[:, : self.length]
        kernels = working(self.convolutions, dtype)
        if self.embedding is None:
            x = F.one_hot(codes, kernels[0][0].shape[1] + 1)[:, :, 1:].to(dtype).transpose(1, 2)
        else:
            x = embed(codes, self.embedding, dtype).transpose(1, 2)
        if channels_last:
            x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        for (weight, bias), pool in zip(kernels, self.geometry.pools, strict=True):
            if channels_last:
                x = F.max_pool2d(rectify(F.conv2d(x, weight, bias)), (1, pool))
            else:
                x = F.max_pool1d(rectify(F.conv1d(x, weight.squeeze(2), bias)), pool)
        (weight, bias), *others = working(self.connected, dtype)
        x = F.linear(x.flatten(2).transpose(1, 2).flatten(1), weight, bias)
        for weight, bias in others:
            x = F.linear(drop(rectify(x), self.dropout if self.training else 0.0), weight, bias)
        return x

    @property
    def first_layer(self) -> Tensor | None:
        """Weights of the first convolution, float [features, symbols, kernel]; None if it reads vectors.

        The network reads texts backwards: positions are flipped into reading direction here.
        """
        if self.embedding is not None:
            return None
        first: Tensor = next(self.convolutions.parameters()).detach()
        return first.squeeze(2).flip(2)

    @property
    def word_vectors(self) -> nn.Parameter | None:
        """The look-up table, float [symbols + 1, size]; None over one-hot columns."""
        return self.embedding

    def static_size(self, batch: Batch) -> int:
        """Return the number of columns that the batch is rounded up to on a GPU; all shapes follow from it."""
        return self.geometry.size(batch.lengths, batch.labels.device)

    def _convolve(self, batch: Batch, dtype: torch.dtype) -> list[Tensor]:
        """The last convolution's output: [features], the constant; and by groups of rows, [rows, columns, features].

        The constant stands for all columns behind those given.
        """
        plan = Plan(self.geometry, batch.sizes, batch.lengths)
        codes = batch.take(plan.rows, plan.columns)
        (weight, bias), *others = working(self.convolutions, dtype)
        x = lookup(codes, weight) if self.embedding is None else convolve(embed(codes, self.embedding, dtype), weight)
        first, *pools = self.geometry.pools
        x = activate(x, bias, first)
        *between, last = plan.moves
        for (weight, bias), pool, way in zip(others, pools, between, strict=True):
            x = activate(convolve_moved(x, way, weight), bias, pool)
        constant, *parts = move(x, last).split_with_sizes([1, *(rows * columns for rows, columns in plan.groups)])
        return [constant[0], *(part.view(*shape, -1) for part, shape in zip(parts, plan.groups, strict=True))]


def working(layers: Iterable[nn.Module], dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each layer as they are computed with; gradients come back in the parameters' own dtype."""
    return [(weight.to(dtype), bias.to(dtype)) for weight, bias in (layer.parameters() for layer in layers)]


def drop(x: Tensor, share: float) -> Tensor:
    """Dropout: a `share` of the values becomes 0, the others are divided by 1 - share. Shape and dtype stay.

    On a CPU torch's own, which draws from a Bernoulli distribution, takes twice as long: 2 % of a step.
    """
    if share == 0:
        return x
    kept = torch.rand(x.shape, device=x.device) >= share
    return x * (kept / (1 - share)).to(x.dtype)
