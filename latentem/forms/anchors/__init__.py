"""Automatic sufficiency: densities that separate run as two matrix products, from the declaration alone."""

from latentem.forms.anchors.search import Compression, sufficiency

__all__ = ["Compression", "sufficiency"]
