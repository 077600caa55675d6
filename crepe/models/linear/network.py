"""Multinomial logistic regression on bags of symbols (paper, section 3.1), without a matrix [rows, symbols].

The logits of a text are a weighted sum of rows of one table [symbols, classes], looked up by the text's symbols:

    text     "a cat and a dog"      a   cat  and   a   dog
    codes                           1    4    2    1    7
    counts   weight                 1    1    1    1    1
    tf-idf   weight                w1   w4   w2   w1   w7     w_i = idf_i / ||(n_1 idf_1, n_2 idf_2, ...)||
    logits = bias + sum over the places of weight * table[code]

A term that occurs n times has n places, so its count needs no place of its own in the sum.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.errors import CrepeError
from crepe.models.base import Inputs, Network
from crepe.models.batch import Batch
from crepe.models.linear import Settings


class Linear(Network):
    """A linear classifier on bags of symbols.

    Args:
        settings: its hyper-parameters.
        inputs: sizes of input and output. Symbol 0 is one outside the vocabulary and adds nothing.

    Raises:
        CrepeError: the weighting is tf-idf, and there are no inverse document frequencies.
    """

    prefers_bfloat16: ClassVar[bool] = False
    """Rows of a table are added up: bfloat16 saves no time there, and loses what many small steps have learnt."""

    idf: Tensor | None
    """float32 [symbols + 1], weight of each symbol, 0 for symbol 0: its inverse document frequency, divided by what
    `normalize` takes from the train rows; None if all are 1."""

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(inputs.vocab_size + 1, inputs.classes))
        self.bias = nn.Parameter(torch.empty(inputs.classes))
        idf = inputs.idf if settings.needs_idf else None
        if settings.needs_idf and idf is None:
            raise CrepeError("configuration", "`weighting` is tfidf, and there are no inverse document frequencies")
        self._normalization = settings.normalization
        self.register_buffer("idf", None if idf is None else F.pad(idf.float(), (1, 0)))

    @property
    def symbol_weights(self) -> Tensor:
        """Weight of each symbol before a text is scaled: float32 [symbols + 1], 0 for symbol 0."""
        if self.idf is not None:
            return self.idf
        return F.pad(torch.ones(len(self.table) - 1, device=self.table.device), (1, 0))

    @property
    def scales_texts(self) -> bool:
        """Whether the features of a text are divided by a number that depends on the text."""
        return self._normalization in ("l2", "max-text")

    def text_scales(self, features: Tensor, rows: Tensor, texts: int) -> Tensor:
        """Compute the factor of each text: [texts], of the dtype of `features`.

        Args:
            features: [features], counts times `symbol_weights`, of all texts.
            rows: int64 [features], the text of each.
            texts: their number.
        """
        if self._normalization == "max-text":
            largest = features.new_zeros(texts).scatter_reduce_(0, rows, features, "amax")
            return largest.clamp(min=1e-12).reciprocal()
        squares = torch.zeros(texts, dtype=torch.float64, device=features.device)
        squares.index_add_(0, rows, features.double() ** 2)
        return squares.clamp(min=1e-12).rsqrt().to(features.dtype)

    def forward(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Compute the logits of a batch: dtype [rows, classes]."""
        codes, rows = batch.flat()
        begins = torch.searchsorted(rows, torch.arange(len(batch), device=rows.device))
        weights = (codes > 0).float() if self.idf is None else self.idf[codes]
        if self.scales_texts:
            weights = weights * self._scales(codes, rows, begins, weights)[rows]
        weights = weights.to(dtype)
        sums = F.embedding_bag(codes, self.table.to(dtype), begins, mode="sum", per_sample_weights=weights)
        return sums + self.bias.to(dtype)

    def _scales(self, codes: Tensor, rows: Tensor, begins: Tensor, weights: Tensor) -> Tensor:
        """Compute the factor of each text: float32 [texts].

        The squared length of a text's vector, the sum over its terms of (n w)^2, is the sum over its places of n w^2.

        Args:
            codes: int64 [places], symbols of all texts one behind the other.
            rows: int64 [places], the text of each, ascending.
            begins: int64 [texts], the first place of each text.
            weights: float32 [places], weights of the symbols.
        """
        keys = rows * len(self.table) + codes
        ordered = keys.sort().values
        counts = torch.searchsorted(ordered, keys, right=True) - torch.searchsorted(ordered, keys)
        if self._normalization == "max-text":
            largest = weights.new_zeros(len(begins)).scatter_reduce_(0, rows, counts * weights, "amax")
            return largest.clamp(min=1e-12).reciprocal()
        places = torch.arange(len(codes), device=codes.device)
        squares = F.embedding_bag(places, (counts * weights**2)[:, None], begins, mode="sum").squeeze(1)
        return squares.clamp(min=1e-12).rsqrt()

    def padded(self, codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Compute the logits of padded texts; where texts are scaled, memory grows with the square of the columns."""
        known = (codes > 0).float()
        weights = known if self.idf is None else self.idf[codes] * known
        if self.scales_texts:
            # How often the symbol of each place occurs in its text: every place is compared with every other.
            counts = (codes[:, :, None] == codes[:, None, :]).float().sum(2)
            if self._normalization == "max-text":
                # A column of zeros, for texts of no columns.
                largest = F.pad(counts * weights, (0, 1)).amax(1, keepdim=True)
                weights = weights * largest.clamp(min=1e-12).reciprocal()
            else:
                squares = (counts * weights**2).sum(1, keepdim=True)
                weights = weights * squares.clamp(min=1e-12).rsqrt()
        return (self.table.to(dtype)[codes] * weights.to(dtype)[:, :, None]).sum(1) + self.bias.to(dtype)
