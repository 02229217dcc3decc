# %% [markdown]
# # A mixture of regressions
# Two lines with noise, and no record of which point belongs to which line. The covariate is part of the
# observation but has no density of its own: `complete_log_likelihood` is that of y given x.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

import latentem as lem

random = np.random.default_rng(1)
line = random.random(300) < 0.3
x = random.uniform(0.0, 10.0, 300)
y = np.where(line, 8.0 - 0.5 * x, 1.0 + 1.5 * x) + random.normal(0.0, np.where(line, 0.5, 1.0))


def complete_log_likelihood(params, data, z):  # one point, its line
    mean = params["intercept"][z] + params["slope"][z] * data["x"]
    return jnp.log(params["weight"][z]) + norm.logpdf(data["y"], mean, params["deviation"][z])


shapes = {"intercept": lem.real(2), "slope": lem.real(2), "deviation": lem.positive(2)}
model = lem.Model(complete_log_likelihood, lem.Finite(2), {"weight": lem.simplex(2), **shapes}, name="two lines")

# %%
fit = lem.fit(model, {"x": x, "y": y}, key=jax.random.key(0), starts=8)
print(fit.status.name, f"{fit.log_likelihood:.6f}")
for k in np.argsort(fit.params["weight"]):
    print({name: round(float(value[k]), 3) for name, value in fit.params.items()})
right = np.mean((fit.responsibilities()[:, np.argmin(fit.params["weight"])] > 0.5) == line)
print(f"{100 * right:.1f} % of the points are given to their own line")
