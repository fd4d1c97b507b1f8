"""Mean, deviation and quantiles of vectors that are seen once, in constant memory.

    statistics = RunningStatistics(dimensions=7)
    statistics.update(values)  # as often as there are values
    statistics.result()

Quantiles come from a histogram of each dimension. The width of its bins is the smallest
power of two with which `BINS` of them span all values so far, and bins lie at multiples
of it: when the width doubles, pairs of bins are added up, without an error. The result
thus does not depend on the order of the values, and a quantile is off by less than a
bin, 2 / `BINS` of the range.

Axes: N vectors of an update, D dimensions.
"""

import numpy as np

BINS = 1 << 14
FINEST = -40  # exponent of the smallest width of a bin
LARGEST = 2.0**52  # number of a bin that is exact as a float
QUANTILES = {"q01": 0.01, "q99": 0.99}


class RunningStatistics:
    """Statistics of all vectors so far."""

    def __init__(self, dimensions: int) -> None:
        """No vector is seen yet of D = `dimensions`."""
        self.count = 0
        self._mean, self._square = np.zeros(dimensions), np.zeros(dimensions)
        self._low, self._high = np.full(dimensions, np.inf), np.full(
            dimensions, -np.inf
        )
        self._counts = np.zeros((dimensions, BINS), np.int64)
        self._exponent = np.full(dimensions, FINEST)  # of the width of a bin
        self._first = np.zeros(dimensions, np.int64)  # bin 0, in multiples of the width

    def update(self, values: np.ndarray) -> None:
        """Add float [N, D], N >= 0; ValueError where a number is not finite."""
        values = np.asarray(values, np.float64)
        if values.ndim != 2 or values.shape[1] != len(self._mean):
            raise ValueError(
                f"Vectors of shape {values.shape} where they had {len(self._mean)} "
                "dimensions: all demonstrations must have as many."
            )
        if not np.isfinite(values).all():
            raise ValueError("A number is not finite.")
        if not len(values):
            return
        count, mean = self.count + len(values), values.mean(axis=0)
        shift = mean - self._mean
        self._mean += shift * len(values) / count
        self._square += ((values - mean) ** 2).sum(axis=0)
        self._square += shift**2 * self.count * len(values) / count
        self.count = count
        self._low = np.minimum(self._low, values.min(axis=0))
        self._high = np.maximum(self._high, values.max(axis=0))
        for dimension, column in enumerate(values.T):
            self._widen(dimension)
            bins = np.floor(np.ldexp(column, -self._exponent[dimension]))
            bins = bins.astype(np.int64) - self._first[dimension]
            self._counts[dimension] += np.bincount(bins, minlength=BINS)

    def result(self) -> dict[str, np.ndarray]:
        """`mean`, `std`, `q01` and `q99`, float64 [D]; ValueError where nothing is."""
        if not self.count:
            raise ValueError("There are no numbers to make statistics of.")
        statistics = {
            "mean": self._mean.copy(),
            "std": np.sqrt(self._square / self.count),
        }
        for name, share in QUANTILES.items():
            statistics[name] = np.array(
                [self._quantile(row, share) for row in range(len(self._mean))]
            )
        return statistics

    def _widen(self, dimension: int) -> None:
        """Make the bins of a dimension span its range, their counts kept."""
        low, high = self._low[dimension], self._high[dimension]
        before = exponent = int(self._exponent[dimension])
        while True:
            first, last = np.floor(np.ldexp([low, high], -exponent))
            if last - first < BINS and max(-first, last) < LARGEST:
                break
            exponent += 1
        counts = self._counts[dimension]
        filled = np.flatnonzero(counts)
        bins = ((filled + self._first[dimension]) >> (exponent - before)) - int(first)
        self._counts[dimension] = np.bincount(
            bins, weights=counts[filled], minlength=BINS
        )
        self._exponent[dimension], self._first[dimension] = exponent, first

    def _quantile(self, dimension: int, share: float) -> float:
        """The value that `share` of a dimension's are below, linear within its bin."""
        counts = self._counts[dimension]
        total = np.cumsum(counts)
        wanted = share * self.count
        row = int(np.searchsorted(total, wanted))
        inside = (wanted - (total[row] - counts[row])) / counts[row]
        width = np.ldexp(1.0, self._exponent[dimension])
        value = (self._first[dimension] + row + inside) * width
        return float(np.clip(value, self._low[dimension], self._high[dimension]))
