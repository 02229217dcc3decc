"""Pictures of a fit, as matplotlib Figures: `figure.savefig("fit.png")`. No window opens, no state is kept.

Component k has the same colour in every picture; people of any colour vision tell the colours apart, and a number
stands next to each component for print in black and white. Needs matplotlib, from the extra `plot`.

What flows in: a Fit with its data.
What flows out: a Figure. To add one: a file with a function of a fit that draws with `look`, and its line in
`__all__`.
"""

from latentem.plot.chains import components, smoothed_readings, stabilisation
from latentem.plot.criteria import selection
from latentem.plot.density import mixture_density
from latentem.plot.effects import profile, random_effects, residuals
from latentem.plot.images import image_panels
from latentem.plot.items import item_curves
from latentem.plot.states import state_probabilities
from latentem.plot.surprises import impulse_responses, innovations, mode_shapes
from latentem.plot.trace import log_likelihood_trace

__all__ = [
    "components",
    "image_panels",
    "impulse_responses",
    "innovations",
    "item_curves",
    "log_likelihood_trace",
    "mixture_density",
    "mode_shapes",
    "profile",
    "random_effects",
    "residuals",
    "selection",
    "smoothed_readings",
    "stabilisation",
    "state_probabilities",
]
