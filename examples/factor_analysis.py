# %% [markdown]
# # Factor analysis
# Seven ratings of 30 departments and two latent factors. The log-density of the ratings and the factors is
# quadratic in the factors, so their posterior is exactly normal: `method="hessian"` needs no E-step code.

# %%
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

import latentem as lem

x = lem.datasets.attitude().matrix()


def loadings(params):  # factors can be rotated: the 0 fixes the rotation
    return jnp.stack([params["first"], jnp.append(params["second"], 0.0)], axis=1)


def complete_log_likelihood(params, x, z):  # one department, its two factors
    mean = params["mean"] + loadings(params) @ z
    return norm.logpdf(x, mean, jnp.sqrt(params["uniqueness"])).sum() + norm.logpdf(z).sum()


model = lem.Model(
    complete_log_likelihood,
    latent=lem.Continuous(2, method="hessian"),
    params={"mean": lem.real(7), "first": lem.real(7), "second": lem.real(6), "uniqueness": lem.positive(7)},
    name="two factors",
)
start = {"mean": x.mean(0), "first": x.std(0) / 2, "second": np.eye(6)[0], "uniqueness": x.var(0) / 2}

# %%
fit = lem.fit(model, x, initial=start)
print(fit.status.name, f"{fit.log_likelihood:.6f}")
print("share of each variance that the factors leave:", np.round(fit.params["uniqueness"] / x.var(axis=0), 3))
print("factors of the first department:", np.round(fit.posterior().mean[0], 3))
