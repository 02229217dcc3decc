"""Simulated reaction times of 18 people over ten days of restricted sleep."""

from types import SimpleNamespace

import numpy as np


def simulated() -> SimpleNamespace:
    """180 records: subject, days and reaction, and the same as `columns`."""
    rng = np.random.default_rng(18)
    subject, days = np.repeat(np.arange(300, 318), 10), np.tile(np.arange(10.0), 18)
    intercept, slope = rng.normal(250.0, 25.0, 18), rng.normal(10.0, 6.0, 18)
    reaction = np.repeat(intercept, 10) + np.repeat(slope, 10) * days + rng.normal(0.0, 25.0, 180)
    columns = {"subject": subject, "days": days, "reaction": reaction.round(4)}
    return SimpleNamespace(**columns, columns=columns)
