# %% [markdown]
# # A model of your own
# Deaths of women over 80 announced in The Times, 1910-1912: a mixture of two Poisson distributions, declared
# by the log-density of ONE day together with ONE value of its latent kind. The EM is derived from it.

# %%
import jax
import jax.numpy as jnp
import numpy as np
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

# %%
times = lem.datasets.hasselblad()
fit = lem.fit(model, times.deaths, weights=times.frequency, key=jax.random.key(0))
print(f"{fit.status.name}, log-likelihood {fit.log_likelihood:.6f}, BIC {fit.bic:.2f}")
quiet, busy = np.argsort(fit.params["rate"])
for name, k in (("quiet", quiet), ("busy", busy)):
    print(f"{name} days: {fit.params['weight'][k]:.4f} of all, {fit.params['rate'][k]:.4f} deaths a day")

# %% [markdown]
# The probability that a day with 0, 1, 2, ... deaths was a busy one.

# %%
print(np.round(fit.responsibilities()[:, busy], 3))
