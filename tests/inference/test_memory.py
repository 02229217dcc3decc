"""Information of many rows and many parameters: bounded memory by rows, little work on anchors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

import latentem as lem
from latentem.ascent.derivatives import compiled_expansion
from latentem.forms import Prepared, RowForm
from latentem.inference.estimate import Estimate
from latentem.inference.information import information
from latentem.inference.scores import score_products


def two_parameter_logistic(params: Any, answers: Any, ability: Any) -> Any:
    logit = params["slope"] * ability + params["intercept"]
    return jnp.sum(jax.nn.log_sigmoid(jnp.where(answers == 1, logit, -logit))) + norm.logpdf(ability)


def test_fifty_items_and_ten_thousand_people_need_no_gigabyte(x64: None) -> None:
    space = {"slope": lem.real(50), "intercept": lem.real(50)}
    form = RowForm(lem.Model(two_parameter_logistic, lem.Continuous(1), space))
    data = Prepared((), jnp.zeros((10_000, 50)), jnp.ones(10_000))
    for compiled in (
        compiled_expansion.lower(form, data, jnp.zeros(100)).compile(),
        score_products.lower(form, jnp.zeros(100), data).compile(),
    ):
        # 10,000 people x 61 nodes x 100 parameters are 488 MB for one array, and a Hessian by rows would need several.
        assert compiled.memory_analysis().temp_size_in_bytes < 500 * 2**20


def test_information_on_anchors_is_that_on_rows() -> None:
    rng = np.random.default_rng(1)
    slope, intercept, ability = rng.uniform(0.8, 1.6, 6), rng.normal(size=6), rng.normal(size=(400, 1))
    x = (rng.uniform(size=(400, 6)) < 1 / (1 + np.exp(-(slope * ability + intercept)))) * 1.0
    model = lem.Model(two_parameter_logistic, lem.Continuous(1), {"slope": lem.real(6), "intercept": lem.real(6)})
    fit = lem.fit(model, x, initial={"slope": np.ones(6), "intercept": np.zeros(6)}, compress=True)
    assert fit.compression.verdict and fit._estimate.anchored is not None
    by_rows = Estimate(fit.model, fit.data, fit.params)
    for kind in ("observed", "complete", "score"):
        exact = information(by_rows, kind)
        assert np.max(np.abs(fit.information(kind) - exact)) < 1e-10 * np.max(np.abs(exact))
    assert fit.scores_per_observation().shape == (400, 12)
