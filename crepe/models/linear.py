"""Multinomial logistic regression on bags of symbols (paper, section 3.1), without a matrix [rows, symbols].

The logits of a text are a weighted sum of rows of one table [symbols, classes], looked up by the text's symbols:

    text     "a cat and a dog"      a   cat  and   a   dog
    codes                           1    4    2    1    7
    counts   weight                 1    1    1    1    1
    tf-idf   weight                w1   w4   w2   w1   w7     w_i = idf_i / ||(n_1 idf_1, n_2 idf_2, ...)||
    logits = bias + sum over the places of weight * table[code]

A term that occurs n times has n places, so its count needs no place of its own in the sum.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.errors import CrepeError
from crepe.io.section import Limits
from crepe.models import NetworkSettings
from crepe.models.base import Inputs, Network
from crepe.models.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Settings(NetworkSettings):
    """Hyper-parameters of a linear classifier on bags of symbols."""

    weighting: Annotated[str, Limits(choices=("counts", "tfidf"))] = "counts"
    """`counts`: number of times that a symbol occurs in the text. `tfidf`: this times the symbol's inverse document
    frequency, the whole text scaled to length 1."""

    @property
    def needs_idf(self) -> bool:
        """Whether the weighting is tf-idf."""
        return self.weighting == "tfidf"

    def build(self, inputs: Inputs) -> "Linear":
        """Make the network.

        Raises:
            CrepeError: the weighting is tf-idf, and there are no inverse document frequencies.
        """
        return Linear(self, inputs)


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
    """float32 [symbols + 1], 0 for symbol 0; None for counts."""

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(inputs.vocab_size + 1, inputs.classes))
        self.bias = nn.Parameter(torch.empty(inputs.classes))
        idf = inputs.idf if settings.needs_idf else None
        if settings.needs_idf and idf is None:
            raise CrepeError("configuration", "`weighting` is tfidf, and there are no inverse document frequencies")
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
        return self.idf is not None

    def text_scales(self, features: Tensor, rows: Tensor, texts: int) -> Tensor:
        """Compute the factor of each text: [texts], of the dtype of `features`.

        Args:
            features: [features], counts times `symbol_weights`, of all texts.
            rows: int64 [features], the text of each.
            texts: their number.
        """
        squares = torch.zeros(texts, dtype=torch.float64, device=features.device)
        squares.index_add_(0, rows, features.double() ** 2)
        return squares.clamp(min=1e-12).rsqrt().to(features.dtype)

    def forward(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Compute the logits of a batch: dtype [rows, classes]."""
        codes, rows = batch.flat()
        begins = torch.searchsorted(rows, torch.arange(len(batch), device=rows.device))
        weights = (codes > 0).to(dtype) if self.idf is None else self._tfidf(codes, rows, begins, self.idf).to(dtype)
        sums = F.embedding_bag(codes, self.table.to(dtype), begins, mode="sum", per_sample_weights=weights)
        return sums + self.bias.to(dtype)

    def _tfidf(self, codes: Tensor, rows: Tensor, begins: Tensor, idf: Tensor) -> Tensor:
        """Compute the weight of each place: float32 [places].

        The squared length of a text's vector, the sum over its terms of (n idf)^2, is the sum over its places of
        n idf^2.

        Args:
            codes: int64 [places], symbols of all texts one behind the other.
            rows: int64 [places], the text of each, ascending.
            begins: int64 [texts], the first place of each text.
            idf: float32 [symbols + 1].
        """
        keys = rows * len(self.table) + codes
        ordered = keys.sort().values
        counts = torch.searchsorted(ordered, keys, right=True) - torch.searchsorted(ordered, keys)
        idf = idf[codes]
        places = torch.arange(len(codes), device=codes.device)
        squares = F.embedding_bag(places, (counts * idf**2)[:, None], begins, mode="sum").squeeze(1)
        return idf * squares.clamp(min=1e-12).rsqrt()[rows]

    def padded(self, codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Compute the logits of padded texts; for tf-idf, memory grows with the square of the columns."""
        weights = known = (codes > 0).float()
        if self.idf is not None:
            # Occurrences in the text of each place's symbol: every place is compared with every other.
            counts = (codes[:, :, None] == codes[:, None, :]).float().sum(2)
            idf = self.idf[codes] * known
            squares = (counts * idf**2).sum(1, keepdim=True)
            weights = idf * squares.clamp(min=1e-12).rsqrt()
        return (self.table.to(dtype)[codes] * weights.to(dtype)[:, :, None]).sum(1) + self.bias.to(dtype)
