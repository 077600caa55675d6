"""The contract of a network: what every kind must do, and what it may do besides."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.errors import CrepeError
from crepe.models.batch import Batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Sizes of a network's input and output."""

    vocab_size: int
    """Largest code in a text: the number of symbols that have a code."""
    length: int | None
    """Most codes of a text; None if the feature does not limit it."""
    classes: int
    idf: Tensor | None = None
    """Inverse document frequencies, float [vocab_size], for networks that weight by them."""


class Network(nn.Module):
    """A network: ragged texts to logits.

    A kind must define `forward`. It may define the other methods, whose defaults say that the network has no such form
    or part.
    """

    prefers_bfloat16: ClassVar[bool] = True
    """Whether `--precision auto` takes bfloat16 on a device that multiplies it natively."""

    def forward(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Compute the logits of a batch.

        Args:
            batch: the texts, sorted by length.
            dtype: the dtype of the computation; parameters and their gradients keep their own.

        Returns:
            dtype [rows, classes].
        """
        raise NotImplementedError

    @torch.no_grad()
    def initialize(self, std: float, generator: torch.Generator) -> None:
        """Set the initial parameters: draw all, biases too, from N(0, std^2), as the original's model.lua does.

        A kind that starts otherwise overrides this: whatever its `__init__` put into parameters is not used.

        Args:
            std: the settings' `init_std`.
            generator: source of random numbers, on the CPU, as the parameters are: draws are the same for any device.
        """
        for parameter in self.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    def padded(self, codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Compute the same logits from padded texts, with operations that ONNX has.

        `crepe export` writes this form, and tests compare `forward` with it.

        Args:
            codes: int64 [rows, columns], 0 behind the end of a text. The number of columns may be any, 0 included.
            dtype: the dtype of the computation.

        Returns:
            dtype [rows, classes].

        Raises:
            CrepeError: this kind of network has no padded form.
        """
        raise CrepeError(
            type(self).__name__, "has no padded form, which ONNX needs", f"define `padded` in {type(self).__module__}"
        )

    def static_size(self, batch: Batch) -> int | None:
        """Return the one number that, with the number of rows, decides all shapes of a step on a GPU.

        It is at least the number of codes in the batch. Steps of equal size can then be recorded as a CUDA graph and
        replayed. None: shapes depend on the texts.
        """
        return None

    @property
    def first_layer(self) -> Tensor | None:
        """Kernels of a first layer over one-hot symbols, float [kernels, symbols, positions]; None without one.

        Positions are in reading direction.
        """
        return None

    @property
    def word_vectors(self) -> nn.Parameter | None:
        """Look-up table that pretrained word vectors can initialise, float [vocab_size + 1, size]; None without one."""
        return None


def initialize(network: Network, std: float, seed: int) -> None:
    """Set the initial parameters of a network on the CPU by its method `initialize`, with a generator of this seed."""
    network.initialize(std, torch.Generator().manual_seed(seed))


def embed(codes: Tensor, table: Tensor, dtype: torch.dtype, sparse: bool = False) -> Tensor:
    """Look up the vectors of symbols; the vector of code 0 is zero.

    Args:
        codes: int64 [...].
        table: float [vocab_size + 1, size].
        dtype: of the result.
        sparse: give `table` a sparse gradient, of the rows that were looked up: those of a large one are soon found,
            scaled and added up. The same bits, in another form, which `SGDW` and `clip_grad_norm` take.

    Returns:
        dtype [..., size].
    """
    look_up = _LookUp.apply if sparse else F.embedding
    vectors: Tensor = look_up(codes, table)
    return vectors.to(dtype) * (codes > 0).unsqueeze(-1)


class _LookUp(torch.autograd.Function):
    """`F.embedding` with a sparse gradient without duplicates, whose rows are summed up in the order of the codes.

    That of torch has to be freed of them later, and then sums in another order.
    """

    @staticmethod
    def forward(ctx: Any, codes: Tensor, table: Tensor) -> Tensor:
        """Arguments and result as of `F.embedding`."""
        ctx.save_for_backward(codes)
        ctx.shape = table.shape
        return F.embedding(codes, table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        """Return the gradient of the table: sparse, coalesced."""
        (codes,) = ctx.saved_tensors
        rows, places = codes.unique(return_inverse=True)
        values = torch.ops.aten.embedding_dense_backward(gradient, places, len(rows), -1, False)
        return None, torch.sparse_coo_tensor(rows[None], values, ctx.shape, is_coalesced=True, check_invariants=False)
