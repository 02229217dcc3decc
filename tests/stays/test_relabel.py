"""Components and states in another order: everything that a fit holds and says follows."""

from typing import Any

import jax
import numpy as np
import pytest
from stays.fits import COUNT, FEW, MODELS, PLANE, SIDE, F, N, every, fitted, table

import latentem as lem

ORDER = np.array([2, 0, 1])
TURNED = np.array([1, 0])


def says(fit: lem.Fit, x: Any = None) -> list[np.ndarray]:
    if "smooth" in dir(fit):
        return [np.asarray(a) for a in (fit.log_prob(x), fit.smooth(x), fit.viterbi(x))]
    return [fit.log_prob(x), fit.responsibilities(x), fit.predict(x)]


def follows(fit: lem.Fit, again: lem.Fit, order: np.ndarray, x: Any = None) -> None:
    """`again` says what `fit` says, of components in this order."""
    evidence, each, path = says(fit, x)
    found = says(again, x)
    np.testing.assert_allclose(found[0], evidence, rtol=1e-10)
    np.testing.assert_allclose(found[1], each[:, order], rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(order[found[2]], path)


@every
def test_what_a_fit_says_follows(name: str, tmp_path: Any) -> None:
    fit = fitted(name)
    again = fit.relabel([1, 0])
    follows(fit, again, TURNED)
    follows(fit, lem.load(again.save(tmp_path / "other")), TURNED, table(MODELS[name][1]))
    back = again.relabel(TURNED)
    for one, other in zip(jax.tree.leaves(back.params), jax.tree.leaves(fit.params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    assert fit.relabel([0, 1]) is fit


def test_errors_follow() -> None:
    fit = lem.fit(lem.Mixture(F.Poisson(), 2), COUNT, key=0)
    fresh = fit.relabel([1, 0])
    fit.summary()
    kept = fit.relabel([1, 0])
    errors, new, held = fit.standard_errors(), fresh.standard_errors(), kept._errors[0]
    for own, computed, carried in (
        (errors["weights"], new["weights"], held["weights"]),
        *((e["rate"], n["rate"], h["rate"]) for e, n, h in [[t["components"] for t in (errors, new, held)]]),
    ):
        np.testing.assert_allclose(computed, own[::-1], rtol=1e-7)
        np.testing.assert_array_equal(carried, own[::-1])
    assert [o.objective for o in kept.optima] == [o.objective for o in fit.optima]


def test_notes_name_the_component_they_were_about() -> None:
    # A component that says 0 and one that says 1: both probabilities lie at an edge.
    fit = lem.fit(lem.Mixture(F.Independent((F.Bernoulli(), F.Poisson())), 2), np.stack([SIDE, COUNT], 1), key=0)
    fit.summary()
    turned = fit.relabel([1, 0])
    told = fit._errors[1]
    assert any("components.0.probability[0]" in reason for reason in told)
    swapped = tuple(
        reason.replace("[0]", "[two]").replace("[1]", "[0]").replace("[two]", "[1]") for reason in turned._errors[1]
    )
    assert swapped == told


def restricted(**options: Any) -> lem.Fit:
    x = np.concatenate([np.tile([0.0, 5.0, 11.0], 6), [0.0, 0.0, 5.0, 12.0, 10.0, 0.0]])
    return lem.fit(lem.HMM(3, F.Poisson(), **options), x, **FEW)


@pytest.mark.parametrize(
    "options",
    [
        {"fixed": {"rate": [1.0, 5.0, 11.0]}, "initial": [0.5, 0.25, 0.25]},
        {"allowed": [[1, 1, 0], [0, 1, 1], [1, 0, 1]]},
        {"fixed": {"transition": [[0.1, np.nan, np.nan], [np.nan] * 3, [np.nan, np.nan, 0.2]]}},
        {"tied": [[(0, 0), (1, 1)]], "initial": "stationary"},
        {
            "prior": {
                "initial": lem.priors.Dirichlet([1.0, 2.0, 3.0]),
                "transition": lem.priors.Dirichlet(1.0 + np.arange(9.0).reshape(3, 3)),
                "emission": {"rate": lem.priors.Gamma([1.0, 5.0, 10.0], 1.0)},
            }
        },
    ],
    ids=["fixed", "zeros", "fixed transitions", "tied", "prior"],
)
def test_declarations_follow(options: dict[str, Any]) -> None:
    fit = restricted(**options)
    again = fit.relabel(ORDER)
    follows(fit, again, ORDER)
    with jax.enable_x64(True):
        priors = [float(f.model.log_prior(f.params)) for f in (fit, again)]
        assert bool(again.model.space.contains(again.params))
    assert priors[0] == pytest.approx(priors[1], rel=1e-10)
    # It is a fit of the declaration that it has now: a step of EM leads where one led before.
    step = {"method": lem.Plain(), "max_iterations": 1, "polish": False}
    one, other = (lem.fit(f.declaration, f.given, initial=f.params, **step) for f in (fit, again))
    follows(one, other, ORDER)


def test_covariates_keep_their_reference() -> None:
    x = {"y": np.tile([0.0, 5.0, 11.0], 8), "z": np.linspace(-1, 1, 24)}
    allowed = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    fit = lem.fit(lem.HMM(3, F.Poisson(), covariates=("z",), allowed=allowed), x, **FEW)
    again = fit.relabel(ORDER)
    follows(fit, again, ORDER)
    with jax.enable_x64(True):
        assert bool(again.model.space.contains(again.params))


def test_shared_params_have_no_order() -> None:
    fit = lem.fit(lem.GaussianMixture(2, "tied"), PLANE, **FEW)
    again = fit.relabel([1, 0])
    np.testing.assert_array_equal(again.params["components"]["covariance"], fit.params["components"]["covariance"])
    follows(fit, again, TURNED)


def test_sorted() -> None:
    fit = fitted("gaussian")
    for by in ("mean[b]", "components.mean[b]", lambda params: params["components"]["mean"][:, 1]):
        assert (np.diff(fit.sorted(by=by).params["components"]["mean"][:, 1]) > 0).all()
        assert (np.diff(fit.sorted(by=by, descending=True).params["components"]["mean"][:, 1]) < 0).all()
    found = fitted("hmm of symbols").sorted("probabilities[2]").params["emission"]["probabilities"]
    assert found[0, 2] < found[1, 2]


def test_refusals() -> None:
    fit = fitted("gaussian")
    for order in ([0, 0], [0], [0, 2], "ab", [0.0, 1.0], 3):
        with pytest.raises(ValueError, match=r"expected each of 0, \.\.\., 1 once"):
            fit.relabel(order)
    with pytest.raises(ValueError, match="no parameter of each component is called 'rate': expected one of components"):
        fit.sorted("rate")
    with pytest.raises(ValueError, match=r"2 entries of mean: say which, such as mean\[a\]"):
        fit.sorted("mean")
    with pytest.raises(ValueError, match=r"mean has no entry \[c\]: expected one of a, b"):
        fit.sorted("mean[c]")
    with pytest.raises(TypeError, match="by=3: expected the name of a parameter"):
        fit.sorted(3)  # type: ignore[arg-type]
    known = lem.sequences(COUNT, labels=np.where(np.arange(N) < 4, SIDE, -1))
    with pytest.raises(ValueError, match="the data say which state is which"):
        lem.fit(lem.HMM(2, F.Poisson()), known, **FEW).relabel([1, 0])
    free = lem.fit(lem.Mixture(F.Poisson(), 2, prior={"weights": lambda w: 0.0 * w[0]}), COUNT, **FEW)
    with pytest.raises(ValueError, match="the prior is a function of the params"):
        free.relabel([1, 0])
    own = lem.Model(lambda p, x, z: -((x - p["at"][z]) ** 2), lem.Finite(2), {"at": lem.real(2)})
    with pytest.raises(ValueError, match="has no components or states that can change places"):
        lem.fit(own, COUNT, initial={"at": [0.0, 8.0]}, **FEW).relabel([1, 0])
