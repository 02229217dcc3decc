"""Options of `lem.fit` that are none, in one line each."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem.ascent.acceleration import PX, AverageInformation, Method
from latentem.ascent.annealing import Annealing
from latentem.numerics.limits import refuse_beyond_memory

#: Option -> what to write instead of a class, or of True.
INSTANCES = {"method": "lem.SQUAREM(), lem.Anderson(5), lem.Plain() or 'online'", "annealing": "lem.Annealing()"}

#: Ways to climb; those of records that share one latent are refused by the others where they are known to be such.
METHODS = Method | PX | AverageInformation | str

M_STEPS = ("auto", "closed", "newton", "gradient")


#: Bytes of what a start takes, at least.
OF_A_START = 2**13


def check(**options: Any) -> None:
    """Raise for an option of another kind.

    Args:
        options: of `lem.fit`, by name, as they were given.

    Raises:
        TypeError, ValueError: what came, what was expected, what to write.
    """
    for name in ("tolerance", "step_tolerance"):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"{name}={value!r:.60}: expected a number >= 0, such as 1e-8")
        if not value >= 0:
            raise ValueError(f"{name}={value!r}: expected a number >= 0")
    for name in ("max_iterations", "starts"):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r:.60}: expected an integer >= 1")
    refuse_beyond_memory(f"starts={options['starts']}", OF_A_START * float(options["starts"]), "ask for fewer")
    for name in ("polish", "exclude_degenerate", "progress"):
        value = options[name]
        if not isinstance(value, bool | np.bool_ | None):
            raise TypeError(f"{name}={value!r:.60}: expected True or False")
    for name, expected in INSTANCES.items():
        value, kind = options[name], {"method": METHODS, "annealing": Annealing}[name]
        if isinstance(value, type):
            raise TypeError(f"{name}={value.__name__}, a class: expected {expected}")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name}={value!r:.60}: expected {expected}")
    m_step = options["m_step"]
    if isinstance(m_step, type):
        raise TypeError(f"m_step={m_step.__name__}, a class: expected lem.Newton(), lem.Gradient(optimizer) or a name")
    if isinstance(m_step, str) and m_step not in M_STEPS:
        told = ", ".join(map(repr, M_STEPS))
        raise ValueError(f"m_step={m_step!r}: expected {told}, lem.Newton(...) or lem.Gradient(...)")
    for name, takes in (("callback", "a function of a Snapshot"), ("step_size", "a function of the batch number")):
        value = options[name]
        if value is not None and not callable(value):
            raise TypeError(f"{name}={value!r:.60}: expected {takes}")
    if isinstance(options["passes"], bool) or not isinstance(options["passes"], int | np.integer):
        raise ValueError(f"passes={options['passes']!r:.60}: expected an integer >= 1")
