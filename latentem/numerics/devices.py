"""One sum on several devices: each adds up its own rows, and what they have found is added.

What flows in: a function of rows that returns what adds over them, and rows that `split` has laid on the devices.
What flows out: the sum, on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

#: The axis of a mesh that rows are split over.
AXIS = "rows"


@cache
def mesh_of(devices: tuple[Any, ...]) -> Mesh | None:
    """A line of devices; None for one, which needs no mesh."""
    return Mesh(np.array(devices), (AXIS,)) if len(devices) > 1 else None


def split(tree: Any, mesh: Mesh) -> Any:
    """Arrays laid on the devices, equal parts of the leading axis to each.

    Args:
        tree: pytree of arrays whose leading axis is a multiple of the number of devices.
        mesh: from `mesh_of`.
    """
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))


def everywhere(tree: Any, mesh: Mesh) -> Any:
    """Arrays laid whole on every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def summed(f: Callable[[Any], Any], rows: Any, mesh: Mesh) -> Any:
    """The sum over devices of `f(rows of the device)`, a pytree of arrays that add.

    `f` may use what is traced around it; that is whole on every device.
    """

    def on_device(part: Any) -> Any:
        return lax.psum(f(part), AXIS)

    # What loops begin with inside `f` is the same on all devices and what they end with is not: no check of that.
    return jax.shard_map(
        on_device, mesh=mesh, in_specs=PartitionSpec(AXIS), out_specs=PartitionSpec(), check_vma=False
    )(rows)
