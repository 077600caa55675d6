"""The rows of a split as a sparse matrix, for trainings that go through all rows at a time.

The matrix [rows, symbols + 1] has an entry for each symbol of a text, repetitions too, which is mostly 1: weights of
symbols and of rows are factors outside. So the integers of the split are the matrix, as they are. Rows are cut into
blocks, in which the number of a row has 16 bits: the transposed matrix has these in the order of the symbols, half as
many bytes again.

On a CPU every sum has one order, whatever the number of threads, so the products' bytes do not depend on it. On a GPU
products of sparse matrices add up in any order, and the last bits differ from run to run.
"""

import warnings
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from crepe.models.batch import Split
from crepe.models.linear.network import Linear

BLOCK = 2**24
"""Most integers in a block of rows: what is needed to transpose a block is some 40 bytes for each."""
BLOCK_ROWS = 2**16
"""Most rows in a block: their numbers are kept in 16 bits."""
TEXT_BITS = 32
"""Bits of the number of a text in its block, in an integer that has the symbol above them."""
RUN = 1024
"""Products that are summed by torch in one go, in the same order whatever the number of threads."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows of a split, one behind the other."""

    rows: slice
    matrix: Tensor
    """Sparse [rows, columns], with an entry of 1 for each place of a text."""
    begins: Tensor | None = None
    """int32 [columns + 1], where each symbol begins in `row_of`; None if there is no transposed matrix."""
    row_of: Tensor | None = None
    """uint16 [places], the row in the block of each place of a symbol, ordered by symbol, then by row."""


class Rows:
    """The rows of a split as a sparse matrix [rows, symbols + 1], times a dense one.

    Column 0, of the symbol outside the vocabulary, is 0 but for the bias: row 0 of a dense matrix is added to all rows.

    Args:
        split: the rows.
        network: says how much each symbol counts.
        dtype: float32 or float64.
        transposed: whether to be able to multiply with the transposed matrix, too.
    """

    def __init__(self, split: Split, network: Linear, dtype: torch.dtype, transposed: bool = True) -> None:
        device = split.device
        self.labels = torch.from_numpy(split.labels).long().to(device)
        weights = network.symbol_weights.to(device, dtype)
        self.columns = len(weights)
        self._weights = weights[:, None]
        self._weighed = weights.new_empty(0, 0)
        self._turned_block: _Block | None = None
        bounds, stops = _bounds(split.lengths), np.append(0, split.lengths.cumsum())
        places = np.diff(stops[bounds]).max(initial=0)
        self._ones = torch.ones(places, dtype=dtype, device=device)
        # What stays is made before the blocks: behind it, each of them gets the memory that the last one has freed.
        turned = (len(bounds) - 1, int(stops[-1])) if transposed else (0, 0)
        begins = torch.empty(turned[0], self.columns + 1, dtype=torch.int32, device=device)
        row_of = torch.empty(turned[1], dtype=torch.uint16, device=device)
        self._indices = torch.empty(places if transposed else 0, dtype=torch.int32, device=device)
        scales = weights.new_empty(len(split) if network.scales_texts else 0)
        self._blocks = []
        for number, (first, last) in enumerate(pairwise(bounds)):
            codes, offsets = split.slice(first, last)
            matrix = _csr(offsets.to(torch.int32), codes, self._ones, (last - first, self.columns))
            block = _Block(slice(first, last), matrix)
            if transposed:
                block = replace(block, begins=begins[number], row_of=row_of[stops[first] : stops[last]])
            if transposed or network.scales_texts:
                _transpose(codes, offsets, block, network, weights, scales[first:last])
            self._blocks.append(block)
        self._scales = scales[:, None] if network.scales_texts else None

    def __len__(self) -> int:
        return len(self.labels)

    def times(self, weights: Tensor) -> Tensor:
        """Multiply the matrix with a dense one: [columns, classes] to [rows, classes]."""
        if self._weighed.shape != weights.shape:
            self._weighed = torch.empty_like(weights)
        weighed = torch.mul(self._weights, weights, out=self._weighed)
        product = weights.new_zeros(len(self), weights.shape[1])
        for block in self._blocks:
            _multiply(block.matrix, weighed, product[block.rows])
        if self._scales is not None:
            product *= self._scales
        return product.add_(weights[0])

    def transposed_times(self, values: Tensor, squared: bool = False, out: Tensor | None = None) -> Tensor:
        """Multiply the transposed matrix with a dense one: [rows, classes] to [columns, classes].

        Args:
            values: the dense one.
            squared: whether to square all weights before; an entry n of a symbol that occurs n times remains n.
            out: where to put the product; None makes a tensor.
        """
        scales, weights = self._scales, self._weights
        if squared:
            scales, weights = None if scales is None else scales**2, weights**2
        scaled = values if scales is None else values * scales
        total = values.new_zeros(self.columns, values.shape[1]) if out is None else out
        for block in self._blocks:
            _multiply(self._turned(block), scaled[block.rows], total, add=block.rows.start > 0)
        total *= weights
        total[0] = sums(values)
        return total

    def _turned(self, block: _Block) -> Tensor:
        """Make the transposed matrix of a block, in the place of that of the last one."""
        assert block.begins is not None
        assert block.row_of is not None
        places = len(block.row_of)
        if self._turned_block is not block:
            self._indices[:places] = block.row_of
            self._turned_block = block
        return _csr(block.begins, self._indices[:places], self._ones, (self.columns, block.matrix.shape[0]))


def _bounds(lengths: np.ndarray) -> list[int]:
    """Cut rows of these lengths into blocks: the first row of each, and the number of rows."""
    stops, bounds = lengths.cumsum(), [0]
    while (first := bounds[-1]) < len(lengths):
        begin = int(stops[first - 1]) if first else 0
        last = int(np.searchsorted(stops, begin + BLOCK, side="right"))
        bounds.append(max(first + 1, min(last, first + BLOCK_ROWS)))
    return bounds


def _transpose(codes: Tensor, offsets: Tensor, block: _Block, network: Linear, weights: Tensor, scales: Tensor) -> None:
    """Order the places of a block of texts by symbol, then by text.

    Args:
        codes: int32 [places].
        offsets: int64 [texts + 1], where each text begins.
        block: gets the transposed matrix, if it has room for it.
        network: says how texts are scaled.
        weights: [columns], of the symbols.
        scales: [texts], gets the factor of each text, if there are such.
    """
    device, texts = codes.device, len(offsets) - 1
    # Symbol and text as one integer, which a single sort without indices puts in order.
    keys = codes.long().bitwise_left_shift_(TEXT_BITS)
    keys |= torch.repeat_interleave(torch.arange(texts, device=device), offsets.diff(), output_size=len(codes))
    if device.type == "cpu":
        keys.numpy().sort()  # Three times as fast as torch's.
    else:
        keys = keys.sort().values
    if network.scales_texts:
        # A symbol that occurs several times in a text has its places one behind the other.
        new = torch.ones(len(keys), dtype=torch.bool, device=device)
        torch.ne(keys[1:], keys[:-1], out=new[1:])
        firsts = new.nonzero()[:, 0]
        counts = torch.diff(firsts, append=firsts.new_tensor([len(keys)]))
        distinct = keys[firsts]
        values = weights[distinct >> TEXT_BITS].mul_(counts)
        scales.copy_(network.text_scales(values, distinct.bitwise_and_(2**TEXT_BITS - 1), texts))
    if block.begins is not None and block.row_of is not None:
        begins = torch.arange(len(block.begins), device=device).bitwise_left_shift_(TEXT_BITS)
        block.begins.copy_(torch.searchsorted(keys, begins))
        block.row_of.copy_(keys.bitwise_and_(2**TEXT_BITS - 1))


def _csr(pointers: Tensor, indices: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Make a sparse matrix; the entries are the first of `values`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse (CSR tensor support is in beta|invariant checks are implicitly)")
        # Not checked, which would take longer than a product: the indices are in order as they are made.
        return torch.sparse_csr_tensor(pointers, indices, values[: len(indices)], shape, check_invariants=False)


def _multiply(matrix: Tensor, dense: Tensor, product: Tensor, add: bool = False) -> None:
    """Multiply a sparse matrix with a dense one into `product`, which holds numbers, or add to what it holds.

    Written there, a product takes half the time: else torch makes a matrix of zeros, and a copy of it, first.
    """
    torch.addmm(product, matrix, dense, beta=float(add), out=product)


def dot(a: Tensor, b: Tensor) -> float:
    """Sum of the products of two tables, in float64 but for the sums of `RUN` products each."""
    a, b = a.flatten(), b.flatten()
    whole = len(a) - len(a) % RUN
    runs = torch.linalg.vecdot(a[:whole].view(-1, RUN), b[:whole].view(-1, RUN))
    return total(runs) + total(a[whole:] * b[whole:])


def total(values: Tensor) -> float:
    """Sum of a vector in float64. On a CPU NumPy adds it up: torch's order depends on the number of threads."""
    if values.device.type == "cpu":
        return float(values.numpy().sum(dtype=np.float64))
    return float(values.sum(dtype=torch.float64))


def sums(values: Tensor) -> Tensor:
    """Sum of each column, computed in float64, in the order of `total`."""
    columns = values.T.contiguous()
    return torch.tensor([total(column) for column in columns], dtype=values.dtype, device=values.device)
