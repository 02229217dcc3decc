"""x"""

from latentem.families.gaussian.gaussian import Gaussian

__all__ = ["Gaussian"]
