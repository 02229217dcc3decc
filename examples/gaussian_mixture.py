# %% [markdown]
# # A Gaussian mixture
# Durations and waiting times of 272 eruptions of Old Faithful: how many kinds of eruptions are there?

# %%
import jax
import numpy as np

import latentem as lem

x = lem.datasets.old_faithful().matrix("eruptions", "waiting")

# %% [markdown]
# Twenty starts run as one program, and the best is kept. The lowest BIC goes to three components that share
# one covariance matrix.

# %%
fits = {}
for components, covariance in ((1, "full"), (2, "full"), (2, "tied"), (3, "tied")):
    model = lem.GaussianMixture(components, covariance)
    fit = fits[components, covariance] = lem.fit(model, x, key=jax.random.key(0), starts=20)
    print(f"{components} {covariance}: log-likelihood {fit.log_likelihood:.6f}, BIC {fit.bic:.2f}")

# %%
fit = fits[2, "full"]
order = np.argsort(fit.params["weights"])
print(np.round(fit.params["components"]["mean"][order], 3))
print("eruptions of each kind:", np.bincount(fit.predict())[order])
figure = lem.plot.mixture_density(fit, labels=["eruption (minutes)", "wait until the next (minutes)"])
figure.savefig("old_faithful.png")
