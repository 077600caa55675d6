"""Multinomial logistic regression on bags of symbols (paper, section 3.1), without a matrix of rows x symbols.

The score of a text is a sum of rows of one table, looked up by the text's symbols. Symbol counts are the plain sum;
for tf-idf each term weighs its inverse document frequency, and the text's vector is scaled to length 1.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.config.catalog import Network as NetworkSettings
from crepe.models.base import Inputs, Network
from crepe.models.batch import Batch


def build(network: NetworkSettings, inputs: Inputs) -> "Linear":
    """Weighted by inverse document frequencies where there are any."""
    return Linear(inputs.symbols, inputs.classes, inputs.idf)


class Linear(Network):
    """A linear classifier on bags of symbols.

    Args:
        symbols: largest index in a text; index 0 is a symbol outside the vocabulary and adds nothing.
        classes: outputs.
        idf: float [symbols], the inverse document frequency of each symbol; None for plain counts.
    """

    prefers_bfloat16: ClassVar[bool] = False
    """Rows of a table are added up: bfloat16 saves no time there, and loses what many small steps have learnt."""

    idf: Tensor | None

    def __init__(self, symbols: int, classes: int, idf: Tensor | None = None) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(symbols + 1, classes))
        self.bias = nn.Parameter(torch.empty(classes))
        self.register_buffer("idf", None if idf is None else F.pad(idf.float(), (1, 0)))

    def forward(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Scores of a minibatch: float [rows, classes]."""
        codes, rows = batch.flat()
        known = codes > 0
        begins = torch.searchsorted(rows, torch.arange(len(batch), device=rows.device))
        if self.idf is None:
            values = known.to(dtype)
        else:
            # A term that occurs n times weighs n idf; each of its n places is given idf here, and the squared length
            # of the text's vector is the sum over places of n idf^2.
            keys = rows * len(self.table) + codes
            ordered = keys.sort().values
            counts = torch.searchsorted(ordered, keys, right=True) - torch.searchsorted(ordered, keys)
            idf = self.idf[codes]
            places = torch.arange(len(codes), device=codes.device)
            squares = F.embedding_bag(places, (counts * idf**2)[:, None], begins, mode="sum").squeeze(1)
            values = (idf * squares.clamp(min=1e-12).rsqrt()[rows]).to(dtype)
        sums = F.embedding_bag(codes, self.table.to(dtype), begins, mode="sum", per_sample_weights=values)
        return sums + self.bias.to(dtype)

    def padded(self, codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Compute the logits of padded texts; for tf-idf, memory grows with the square of the columns."""
        known = (codes > 0).float()
        weights = known
        if self.idf is not None:
            # How often the symbol of each place occurs in its text: every place is compared with every other.
            counts = (codes[:, :, None] == codes[:, None, :]).float().sum(2)
            idf = self.idf[codes] * known
            squares = (counts * idf**2).sum(1, keepdim=True)
            weights = idf * squares.clamp(min=1e-12).rsqrt()
        return (self.table.to(dtype)[codes] * weights.to(dtype)[:, :, None]).sum(1) + self.bias.to(dtype)
