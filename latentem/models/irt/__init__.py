"""Item response theory: items, abilities, and what is asked of a fit."""

from latentem.models.irt.declare.responses import responses
from latentem.models.irt.irt import IRT
from latentem.models.irt.items import ItemModel
from latentem.models.irt.items.logit_normal import logit_normal

__all__ = ["IRT", "ItemModel", "logit_normal", "responses"]
