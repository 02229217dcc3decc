"""x"""

from latentem.models.irt.items.item import ItemModel

__all__ = ["ItemModel"]
