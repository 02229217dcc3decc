"""Which devices a fit runs on: one, or all where the work is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from latentem.forms import Form, Prepared
from latentem.numerics.devices import mesh_of

#: (observation, latent value) pairs of one E-step from which several devices are faster than one.
WORTH_IT = 500_000


def use_cores(n: int) -> None:
    """Let JAX see `n` cores of this machine as `n` devices, so that a fit uses them all.

    Call it before the first array is made. The command `latentem` does.

    Args:
        n: how many.

    Raises:
        ValueError: no number of cores.
        RuntimeError: JAX has begun to compute, with fewer devices.

    >>> lem.use_cores(len(jax.devices()))
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"use_cores({n!r}): expected a number of cores, 1 or more")
    try:
        jax.config.update("jax_num_cpu_devices", n)
    except RuntimeError:
        found = jax.local_device_count()
        if found < n:
            raise RuntimeError(
                f"use_cores({n}): JAX already computes on {found}; call it before anything that makes an array"
            ) from None


def chosen(devices: int | Sequence[Any] | None) -> tuple[Any, ...]:
    """The devices that `devices=` of a fit names: the first so many, those of a list, or all.

    Raises:
        ValueError: more than there are, or none.
        TypeError: no devices.
    """
    there = tuple(jax.local_devices())
    if devices is None:
        return there
    if isinstance(devices, int) and not isinstance(devices, bool):
        if not 1 <= devices <= len(there):
            more = "lem.use_cores(n) before anything else makes n of the cores" if devices > 0 else "pass 1 or more"
            raise ValueError(f"devices={devices}: JAX sees {len(there)}; {more}")
        return there[:devices]
    if isinstance(devices, Sequence) and devices and all(isinstance(one, jax.Device) for one in devices):
        return tuple(devices)
    raise TypeError(f"devices={devices!r:.60}: expected a number of devices, or a list of them from jax.devices()")


def spread(form: Form, prepared: Prepared, devices: int | Sequence[Any] | None) -> Prepared:
    """The data on all devices where that is worth it, or where the user has said so; else as they are."""
    there = chosen(devices)
    mesh = mesh_of(there)
    if mesh is None or (devices is None and form.cost(prepared) < WORTH_IT):
        return prepared
    return form.spread(prepared, mesh) or prepared
