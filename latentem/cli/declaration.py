"""The custom model of `latentem demo`, which prints the lines below as they stand."""

import jax.numpy as jnp
from jax.scipy.stats import poisson

import latentem as lem


def complete_log_likelihood(params, x, z):  # one day with x deaths, of kind z
    return jnp.log(params["weight"][z]) + poisson.logpmf(x, params["rate"][z])


model = lem.Model(
    complete_log_likelihood,
    latent=lem.Finite(2),
    params={"weight": lem.simplex(2), "rate": lem.positive(2)},
    name="two kinds of days",
)
