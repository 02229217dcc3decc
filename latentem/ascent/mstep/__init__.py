"""M-steps: closed form, damped Newton, gradient by any optax transformation."""

from latentem.ascent.mstep.gradient import Gradient
from latentem.ascent.mstep.newton import Newton
from latentem.ascent.mstep.step import Closed, MStep, resolve

__all__ = ["Closed", "Gradient", "MStep", "Newton", "resolve"]
