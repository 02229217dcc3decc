"""Labels of images and volumes: Gaussian classes whose neighbouring pixels tend to be of one class.

- `segmentation`: `Segmentation`, the declaration and its verbs.
- `starts`: k-means of the locally averaged image.
- `coupling`: how strongly neighbours agree, from simulated fields.
- `background`: what moves in a film, by mixtures of each pixel that are updated frame by frame.
"""

from latentem.models.segmentation.background import Background
from latentem.models.segmentation.segmentation import Segmentation

__all__ = ["Background", "Segmentation"]
