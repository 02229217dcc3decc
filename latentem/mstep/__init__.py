"""M-steps: closed form, damped Newton, gradient by any optax transformation."""

from latentem.mstep.gradient import Gradient
from latentem.mstep.newton import Newton
from latentem.mstep.step import Closed, MStep, resolve

__all__ = ["Closed", "Gradient", "MStep", "Newton", "resolve"]
