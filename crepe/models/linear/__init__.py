"""Hyper-parameters of the paper's linear classifiers; the network is in `crepe.models.linear.network`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from crepe.io.section import Limits
from crepe.models import NetworkSettings

if TYPE_CHECKING:
    from torch import Tensor

    from crepe.models.base import Inputs
    from crepe.models.linear.network import Linear

LARGEST = ("max-text", "max-feature", "max-matrix")
"""Readings of the paper's "normalized by dividing the largest feature value"."""


@dataclass(frozen=True, kw_only=True)
class Settings(NetworkSettings):
    """Hyper-parameters of a linear classifier on bags of symbols."""

    weighting: Annotated[str, Limits(choices=("counts", "tfidf"))] = "counts"
    """`counts`: number of times that a symbol occurs in the text. `tfidf`: this times the symbol's inverse document
    frequency."""
    normalize: Annotated[str, Limits(choices=("none", "l2", *LARGEST))] | None = None
    """Division of the features: `none`; `l2`: of a text by their Euclidean length; or by the largest value, which the
    paper does without saying of what: `max-text` of the text, `max-feature` of the feature in any train row,
    `max-matrix` of all train rows. `l2` for tfidf and `none` for counts if absent."""

    @property
    def normalization(self) -> str:
        """`normalize`, the default filled in."""
        return self.normalize or ("l2" if self.weighting == "tfidf" else "none")

    @property
    def needs_idf(self) -> bool:
        """Whether symbols have weights."""
        return self.weighting == "tfidf" or self.needs_largest_counts

    @property
    def needs_document_frequencies(self) -> bool:
        """Whether the weighting is tf-idf."""
        return self.weighting == "tfidf"

    @property
    def needs_largest_counts(self) -> bool:
        """Whether features are divided by a value that depends on the train rows."""
        return self.normalization in ("max-feature", "max-matrix")

    def symbol_weights(self, idf: "Tensor | None", largest: "Tensor | None") -> "Tensor | None":
        """Compute the weight of each symbol.

        Args:
            idf: float [symbols], inverse document frequencies; None for counts.
            largest: float [symbols], the largest count in a train row; None if `needs_largest_counts` is false.
        """
        if largest is None:
            return idf
        weights = largest.new_ones(largest.shape) if idf is None else idf
        values = weights * largest
        divisor = values if self.normalization == "max-feature" else values.max()
        return (weights / divisor).where(values > 0, 0.0)

    def build(self, inputs: "Inputs") -> "Linear":
        """Make the network.

        Raises:
            CrepeError: the weighting is tf-idf, and there are no inverse document frequencies.
        """
        from crepe.models.linear.network import Linear

        return Linear(self, inputs)
