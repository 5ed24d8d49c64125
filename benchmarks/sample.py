"""Sample: what many measurements of one thing say: its percentiles, and how sure one is of its mean."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

from edge.stats import percentile

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for 95 % between both ends, with 1 to 10 degrees of freedom; Student 1908, "The probable error of a
mean", in today's tables."""

Z_95 = 1.959964

Figures = Mapping[str, float]


def t_95(freedom: int) -> float:
    """Student's t for 95 % with so many degrees of freedom, to 0.003; beyond the table by the expansion of Cornish and
    Fisher 1938."""
    if freedom <= len(T_95):
        return T_95[freedom - 1]
    return Z_95 + (Z_95**3 + Z_95) / (4 * freedom) + (5 * Z_95**5 + 16 * Z_95**3 + 3 * Z_95) / (96 * freedom**2)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the mean of such values lies with 95 %, from n - 1 degrees of freedom; two values at least."""
    half = t_95(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values) - half, statistics.fmean(values) + half


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and mean of the rounds, and the mean's interval where there is more than one."""
    told = {"median": statistics.median(values), "mean": statistics.fmean(values)}
    if len(values) > 1:
        told["low"], told["high"] = interval(values)
    return told


def durations(name: str, taken_ms: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max of durations, and their jitter, p99 - p50: milliseconds, named after `name`."""
    told = {f"p{q}": percentile(taken_ms, q) for q in (50, 95, 99)} | {"max": max(taken_ms)}
    told["jitter"] = told["p99"] - told["p50"]
    return {f"{name}_{what}_ms": value for what, value in told.items()}


def gaps_ms(stamps: Sequence[float]) -> list[float]:
    """Milliseconds from each time, in seconds, to the next."""
    return [(after - before) * 1000 for before, after in pairwise(stamps)]
