"""The paper's ConvNets (section 2.3, tables 1 and 2), computed at the cost of the text instead of the padding.

**The function.** A text is a matrix with one column a character or word, padded with all-zero columns to a fixed
length (1014). Layers are convolution, rectifier and, for some, max-pooling; the outcome is read column by column
("time-major") into fully connected layers with dropout. `ConvNet.padded` computes just that.

**The trick.** Behind the end of a text every column is the same, and stays the same through the layers: if the columns
of a layer's input are constant from column n on, a convolution and a pooling of width p make output columns constant
from column ceil(n / p) on. So each layer is run on the columns of the text and the few constant ones that the last of
them look into. `crepe.models.packed` draws an example:

    text                [a b c] . . . . . . . .       3 of 11 columns
    convolution, pool   [x x] c c                     2 of 4 columns; c is what the layer makes of the empty text
    convolution         [y y] d                       2 of 3 columns
    fully connected     y y d                         the product of d is shared by all texts that end before it

Autograd sees a network that reads one column many times. Output, loss and gradients are those of the padded network.

**The order of operations.** Adding a bias and the rectifier commute with taking a maximum, so pooling comes first, and
they see a third of the columns. A convolution over one-hot columns is a look-up.

**On a CPU** the texts of a batch are divided among the threads, each of which computes the convolutions of its own
(`crepe.models.threads`); the fully connected layers, whose weights are large, are computed for all together.

**On a GPU** only the sum of the lengths, rounded up, decides the shapes of what is computed, so that a step can be
recorded and replayed (`crepe.training.step`): the plan is worked out on the device, and the last convolution's output
is filled up with the constant. That costs little there, and is the same function.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.errors import CrepeError
from crepe.models.base import Inputs, Network, embed
from crepe.models.batch import Batch
from crepe.models.convnet import Settings
from crepe.models.packed.convolution import convolve, convolve_moved, lookup
from crepe.models.packed.moves import move_columns
from crepe.models.packed.plan import Geometry, Plan
from crepe.models.packed.pooling import activate, rectify
from crepe.models.packed.ragged_linear import ragged_linear
from crepe.models.threads import compute_each


class ConvNet(Network):
    """A ConvNet over characters or words.

    Args:
        settings: its hyper-parameters.
        inputs: sizes of input and output. Code i is the one-hot column i - 1 or row i of the look-up table, code 0 an
            all-zero column.

    Raises:
        CrepeError: `inputs` has no length, or the layers leave no column of it.
    """

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        super().__init__()
        if inputs.length is None:
            raise CrepeError("configuration", "a ConvNet needs a feature with a max_length", "give its feature one")
        self.length = inputs.length
        self.dropout = settings.dropout
        self.geometry = Geometry(inputs.length, settings.convolutions)
        columns = self.geometry.limits[-1]
        if columns == 0:
            raise CrepeError(
                "configuration",
                f"the convolutions leave no column of a text of {inputs.length}",
                "make the feature's max_length larger",
            )
        size = settings.embedding_dim
        self.embedding = nn.Parameter(torch.empty(inputs.vocab_size + 1, size)) if size else None
        widths = [size or inputs.vocab_size] + [settings.channels] * len(settings.convolutions)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(ins, outs, (1, kernel))
            for (ins, outs), (kernel, _) in zip(pairwise(widths), settings.convolutions, strict=True)
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        sizes = [columns * settings.channels, *settings.fc, inputs.classes]
        self.connected = nn.ModuleList(nn.Linear(ins, outs) for ins, outs in pairwise(sizes))

    def forward(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Compute the logits of a batch: dtype [rows, classes]."""
        # Without gradients there are few operations to wait for.
        shared = torch.is_grad_enabled() and batch.labels.device.type == "cpu"
        split = batch.split(torch.get_num_threads()) if shared else [batch]
        parts = [(part, Plan(self.geometry, part.lengths_device, part.lengths)) for part in split]
        convolutions = [parameter.to(dtype) for parameter in self.convolutions.parameters()]
        parameters = convolutions if self.embedding is None else [*convolutions, self.embedding]
        columns = compute_each(self._convolve, parts, parameters)
        x = self._first_connected(columns, [plan.groups for _, plan in parts])
        return self._other_connected(x)

    def _convolve(self, part: tuple[Batch, Plan], *parameters: Tensor) -> Tensor:
        """Compute the convolutions: [columns, channels], as the plan's last move has them.

        Args:
            part: rows, and the plan for them.
            parameters: weight and bias of each convolution, in the dtype of the computation, and the look-up table if
                there is one.
        """
        batch, plan = part
        convolutions, embedding = parameters[: 2 * len(self.convolutions)], parameters[2 * len(self.convolutions) :]
        first, *others = zip(convolutions[::2], convolutions[1::2], strict=True)
        pool, *pools = self.geometry.pools
        *between, last = plan.moves
        codes = batch.take(plan.row_of_column, plan.place_in_row)
        x = activate(self._first_product(codes, first[0], *embedding), first[1], pool)
        for move, (weight, bias), pool in zip(between, others, pools, strict=True):
            x = activate(convolve_moved(x, move, weight), bias, pool)
        return move_columns(x, last)

    def _first_product(self, codes: Tensor, weight: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Convolve packed codes, int64 [columns], by looking up columns or vectors."""
        if embedding is None:
            return lookup(codes, weight)
        # A step that is recorded on a GPU needs static shapes.
        sparse = embedding.device.type == "cpu"
        return convolve(embed(codes, embedding, weight.dtype, sparse), weight)

    def _first_connected(self, parts: Sequence[Tensor], groups: Sequence[list[tuple[int, int]]]) -> Tensor:
        """Compute the first fully connected layer: [rows, units].

        Args:
            parts: [columns, channels] each, the constant and then, group by group, the columns of each row.
            groups: for each part, number of rows in each group, and of columns in each of them.
        """
        split = [
            part.split_with_sizes([1, *(rows * columns for rows, columns in sizes)])
            for part, sizes in zip(parts, groups, strict=True)
        ]
        stacked = [
            columns.view(*size, -1)
            for (_, *found), sizes in zip(split, groups, strict=True)
            for columns, size in zip(found, sizes, strict=True)
        ]
        constant = split[0][0][0]
        weight, bias = self.connected[0].parameters()
        return ragged_linear(stacked, constant, weight, bias.to(constant.dtype))

    def _other_connected(self, x: Tensor) -> Tensor:
        """Compute the other fully connected layers, each behind rectifier and dropout: [rows, classes]."""
        for weight, bias in cast_parameters(self.connected[1:], x.dtype):
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
        kernels = cast_parameters(self.convolutions, dtype)
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
        weight, bias = cast_parameters(self.connected[:1], dtype)[0]
        return self._other_connected(F.linear(x.flatten(2).transpose(1, 2).flatten(1), weight, bias))

    @property
    def first_layer(self) -> Tensor | None:
        """Weights of the first convolution, float [channels, symbols, kernel]; None if it reads vectors.

        The network reads texts backwards: positions are flipped into reading direction here.
        """
        if self.embedding is not None:
            return None
        first: Tensor = next(self.convolutions.parameters()).detach()
        return first.squeeze(2).flip(2)

    @property
    def word_vectors(self) -> nn.Parameter | None:
        """The look-up table, float [vocab_size + 1, size]; None over one-hot columns."""
        return self.embedding

    def static_size(self, batch: Batch) -> int:
        """Return the number of columns that the batch is rounded up to on a GPU; all shapes follow from it."""
        return self.geometry.size(batch.lengths, batch.labels.device)


def cast_parameters(layers: Iterable[nn.Module], dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Return weight and bias of each layer in the dtype of the computation; their gradients keep the parameters'."""
    return [(weight.to(dtype), bias.to(dtype)) for weight, bias in (layer.parameters() for layer in layers)]


def drop(x: Tensor, probability: float) -> Tensor:
    """Apply dropout: zero each value with a probability, divide the others by 1 - probability. Shape and dtype stay.

    On a CPU torch's own, which draws from a Bernoulli distribution, takes twice as long: 2 % of a step.
    """
    if probability == 0:
        return x
    kept = torch.rand(x.shape, device=x.device) >= probability
    return x * (kept / (1 - probability)).to(x.dtype)
