"""x"""

from latentem.models.hmm.hmm import HMM

__all__ = ["HMM"]
