"""The items of a test: how the answers depend on ability."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array

from latentem.numerics.compiled import jit
from latentem.plot import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentem.results.fit import Fit


def item_curves(fit: Fit, *, bounds: tuple[float, float] = (-4.0, 4.0), label: str = "ability") -> Figure:
    """The expected answer to every item at each ability, as a part of its largest: of two categories, the probability
    of the second one; and where the persons are.

    Args:
        fit: of an item response model with one ability and one group.
        bounds: of the abilities shown.
        label: what ability means.

    Returns:
        A Figure of two panels: curves, and the distribution of the expected abilities (EAP) of the persons.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model, several abilities or groups.

    Example:
        >>> data = lem.datasets.lsat7()
        >>> fit = lem.fit(lem.IRT("2pl"), data.matrix("item_1", "item_2", "item_3"), weights=data.frequency)
        >>> [axes.get_ylabel() for axes in lem.plot.item_curves(fit).figure.axes]
        ['expected answer', 'persons']
    """
    if "item_parameters" not in getattr(fit.declaration, "verbs", ()):
        raise ValueError(f"{fit.name}: expected a fit of an item response model, lem.IRT")
    irt = fit.model.declaration
    if irt.ability.dimensions > 1 or irt.ability.groups > 1:
        raise ValueError(f"{fit.name}: expected one ability and one group; draw them one by one")
    theta = np.linspace(*bounds, 161)
    with jax.enable_x64(True):
        table = np.exp(np.asarray(_table(irt, fit.params, theta[:, None])))[:, 0]
    largest = np.array([len(values) - 1 for values in irt.seen.categories])
    curves = table @ np.arange(table.shape[2]) / largest
    found = fit.scores("eap")["theta"]
    figure = look.new_figure(7.0, 5.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for j, name in enumerate(irt.seen.names):
        colour, dash = look.style(j)
        above.plot(theta, curves[:, j], color=colour, linestyle=dash, label=name)
    above.set_ylim(0, 1)
    above.set_ylabel("expected answer")
    weights = np.asarray(fit.data.weights) if fit.data is not None else None
    below.hist(found, bins=np.linspace(*bounds, 41), weights=weights, color="0.6")
    below.set_ylabel("persons")
    below.set_xlabel(label)
    above.legend(frameon=False, ncols=1 + len(irt.seen.names) // 12)
    for axes in (above, below):
        look.finish(axes)
    return figure


@partial(jit, static_argnums=0)
def _table(irt: Any, params: Any, theta: Any) -> Array:
    return irt.table(params, theta)
