"""Explain a class by occlusion: find the parts of a text that decided for it.

Parts of the text are blanked, some neighbours at a time, and the network computes each time how sure of the class it
still is. The weight of a part is the amount by which the class's log-odds, log p / (1 - p), fall when the part is
blanked, in nats: above 0 it speaks for the class, below 0 against it. Log-odds, since probabilities hardly move when
the network is sure. If a part is blanked with several sets of neighbours, its weight is the mean.

This needs only the logits, so it works for every kind of network. If the feature is words, n-grams or means, a word is
replaced by one that is in no vocabulary, so that no new n-gram arises and no word moves; a character is replaced by an
all-zero column.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014, arXiv:1311.2901), section 4.2,
who slide a grey square over a picture; for text: Li, Monroe and Jurafsky, "Understanding Neural Networks through
Representation Erasure" (2016, arXiv:1612.08220).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import regex

from crepe.features import Units

MOST = 256
"""Maximum number of times a text is blanked; in a longer text, more neighbours are blanked at a time."""

Piece = tuple[str, float]
"""A part of a text and its weight."""

LogOdds = Callable[[list[list[str]]], np.ndarray]
"""Compute the log-odds of the class for texts of the same number of fields: float64 [texts]."""


def explain(fields: Sequence[str], units: Units, log_odds: LogOdds) -> list[Piece]:
    """Compute the weight of each piece of a text.

    Args:
        fields: the text's fields, as the feature reads them.
        units: the parts that can be blanked.
        log_odds: computes the log-odds of the class to explain.

    Returns:
        Pieces that together make the whole text, its fields joined with spaces; those between units have weight 0.
    """
    spans = [
        (field, *found.span()) for field, text in enumerate(fields) for found in regex.finditer(units.pattern, text)
    ]
    windows = _windows(len(spans), units.span)
    changed = [_blanked(fields, spans[first:last], units) for first, last in windows]
    scores = log_odds([list(fields), *changed])
    sums, times = np.zeros(len(spans)), np.zeros(len(spans))
    for (first, last), score in zip(windows, scores[1:], strict=True):
        sums[first:last] += scores[0] - score
        times[first:last] += 1
    return list(_pieces(fields, spans, sums / np.maximum(times, 1)))


def strong(pieces: Sequence[Piece]) -> Iterator[tuple[str, float]]:
    """Join neighbouring pieces that are 1 (for the class), -1 (against it) or 0 (neither).

    A piece is 0 if its weight is at most half of the largest one, signs apart.
    """
    half = max((abs(weight) for _, weight in pieces), default=0.0) / 2
    for sign, run in groupby(pieces, lambda piece: float(np.sign(piece[1])) if abs(piece[1]) > half else 0.0):
        yield "".join(text for text, _ in run), sign


def _windows(units: int, span: int) -> list[tuple[int, int]]:
    """Return the first and last unit (exclusive) of each set of neighbours; each unit is in at least one set."""
    step = -(-units // MOST)
    if step == 0:
        return []
    firsts = range(1 - span, units, step)
    return [(max(first, 0), min(first + span + step - 1, units)) for first in firsts]


def _blanked(fields: Sequence[str], spans: Sequence[tuple[int, int, int]], units: Units) -> list[str]:
    changed = list(fields)
    for field, start, stop in reversed(spans):  # From the end, since blanks may be shorter or longer.
        text = changed[field]
        changed[field] = text[:start] + units.blank(text[start:stop]) + text[stop:]
    return changed


def _pieces(fields: Sequence[str], spans: Sequence[tuple[int, int, int]], weights: np.ndarray) -> Iterator[Piece]:
    weighed = iter([*zip(spans, weights, strict=True), ((len(fields), 0, 0), 0.0)])
    (place, start, stop), weight = next(weighed)
    for field, text in enumerate(fields):
        if field:
            yield " ", 0.0
        done = 0
        while place == field:
            if start > done:
                yield text[done:start], 0.0
            yield text[start:stop], float(weight)
            done = stop
            (place, start, stop), weight = next(weighed)
        if done < len(text):
            yield text[done:], 0.0
