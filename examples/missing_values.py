# %% [markdown]
# # Missing values
# 44 of 612 readings of the air in New York are missing (NaN). A row is used by the entries it has: the
# estimates maximise the likelihood of what was observed, and nothing is imputed.

# %%
import jax
import numpy as np

import latentem as lem

air = lem.datasets.airquality()
x = air.matrix("ozone", "solar", "wind", "temperature")
print("missing in each column:", np.isnan(x).sum(axis=0))

# %%
fit = lem.fit(lem.GaussianMixture(1), x, key=jax.random.key(0))
print(fit.status.name, f"{fit.log_likelihood:.6f}")

# %% [markdown]
# Mean ozone, by maximum likelihood and of the days with a reading: on days without one, the weather says a
# little less ozone was to be expected.

# %%
mean, covariance = (fit.params["components"][name][0] for name in ("mean", "covariance"))
print(f"ozone {mean[0]:.3f}, of the days with a reading {np.nanmean(x[:, 0]):.3f}")
deviation = np.sqrt(np.diag(covariance))
correlation = covariance / np.outer(deviation, deviation)
print("correlation of ozone with solar, wind, temperature:", np.round(correlation[0, 1:], 3))
