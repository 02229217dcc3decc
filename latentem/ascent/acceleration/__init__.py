"""Acceleration of an EM map: strategies with init and step.

What flows in: an `EMMap`, params raveled to theta -> (theta, objective at the OLD theta), and which thetas the
constraints hold for.
What flows out: `init(theta)`, the state of a strategy; `step(em, state, tolerance)`, that state advanced by one
iteration, and a `StepInfo` from which the loop decides whether to go on.

Extrapolation works on the raveled natural params; what it proposes is used only if it is finite, inside the
constraints and does not lower the objective; otherwise the plain EM point is kept, so that an accelerated fit climbs
as surely as EM.

To add a strategy: a file with a NamedTuple for its state, whose field `theta` is the current point, and a frozen
`Method`; name it here. `anderson` is the shortest example.
"""

from latentem.ascent.acceleration.anderson import Anderson, AndersonState
from latentem.ascent.acceleration.base import EMMap, Method, Plain, PlainState, StepInfo
from latentem.ascent.acceleration.squarem import SQUAREM, SQUAREMState
from latentem.ascent.acceleration.whole import PX, AverageInformation

__all__ = [
    "PX",
    "SQUAREM",
    "Anderson",
    "AndersonState",
    "AverageInformation",
    "EMMap",
    "Method",
    "Plain",
    "PlainState",
    "SQUAREMState",
    "StepInfo",
]
