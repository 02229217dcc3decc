# %% [markdown]
# # Latent classes
# Seven pathologists judge 118 slides. Within a class of slides they judge independently of one another: a
# mixture of `Independent` Bernoulli columns. Rows are patterns of judgements, weighted by their frequency.

# %%
import jax
import numpy as np

import latentem as lem

slides = lem.datasets.carcinoma()
answers = {name: slides.columns[name] for name in "ABCDEFG"}
family = lem.families.Independent({name: lem.families.Bernoulli() for name in answers})

# %%
for classes in (1, 2, 3):
    mixture = lem.Mixture(family, classes)
    fit = lem.fit(mixture, answers, weights=slides.frequency, key=jax.random.key(0), starts=10)
    told = f"log-likelihood {fit.log_likelihood:.6f}, BIC {fit.bic:.2f}, {fit.status.name}"
    print(f"{classes} classes: {told}")

# %% [markdown]
# Three classes: slides that all take for carcinoma, slides that none does, and slides that divide them. Some
# probabilities are 0 or 1, at the boundary of what a probability can be, and the status says so.

# %%
for k in np.argsort(fit.params["weights"]):
    saw = [float(fit.params["components"][name]["probability"][k]) for name in answers]
    print(f"{fit.params['weights'][k]:.3f} of the slides:", np.round(saw, 2))
