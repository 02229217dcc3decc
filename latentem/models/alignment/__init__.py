"""Word alignment: which word of a sentence translates which word of another.

- `alignment`: `WordAlignment`, IBM models 1 and 2 and the HMM, and its verbs.
- `corpus`: sentence pairs as numbers, and as links between words.
- `chain`: the HMM's forward-backward, over sentences of one length side by side; `paths`: its most probable path.
- `agreement`: alignments of both directions made one, and the alignment error rate.
"""

from latentem.models.alignment.agreement import alignment_error_rate, symmetrise
from latentem.models.alignment.alignment import WordAlignment

__all__ = ["WordAlignment", "alignment_error_rate", "symmetrise"]
