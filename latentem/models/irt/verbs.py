"""What a fitted item response model is asked: verbs of its Fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from latentem.models.irt.abilities import rotation
from latentem.models.irt.abilities.rotation import Rotation
from latentem.models.irt.asked import information, parameters, sum_scores
from latentem.models.irt.asked import link as linking
from latentem.models.irt.asked import scores as of_persons
from latentem.models.irt.asked import simulate as simulation
from latentem.models.irt.checked import check_grid as grids
from latentem.models.irt.checked import dif as functioning
from latentem.models.irt.checked import item_fit as of_items
from latentem.models.irt.checked import model_fit as of_model
from latentem.models.irt.checked import person_fit as fit_of_persons
from latentem.models.irt.checked import residuals as of_pairs


class Verbs:
    """Verbs of an item response model. Tables are dicts of columns, which pandas and polars take as they are."""

    verbs: tuple[str, ...] = (
        "item_parameters",
        "scores",
        "sum_scores",
        "item_information",
        "test_information",
        "expected_score",
        "reliability",
        "residuals",
        "person_fit",
        "link",
        "simulate",
        "check_grid",
        "rotate",
        "dif",
        "item_fit",
        "model_fit",
    )
    figures: tuple[str, ...] = ("grid_check",)

    def item_parameters(self, fit: Any, errors: bool = True) -> dict[str, np.ndarray]:
        """A row for every item: its params and what follows from them (difficulties), with standard errors.

        Args:
            fit: the fit.
            errors: whether to compute standard errors.

        Returns:
            {"item": names, "model": item models, name: (J,), name + "_se": (J,) ...}; NaN where an item has no such
            param, or it is fixed. Where groups have item params of their own, a row for each group and item.

        >>> from latentem import datasets
        >>> data = datasets.lsat7()
        >>> fit = lem.fit(lem.IRT("2pl"), data.matrix("item_1", "item_2", "item_3"), weights=data.frequency)
        >>> list(fit.item_parameters(errors=False))
        ['item', 'model', 'slope', 'intercept', 'difficulty']
        """
        return parameters.item_parameters(fit, errors)

    # --- abilities

    def scores(
        self, fit: Any, method: str = "eap", x: Any = None, key: Any = None, draws: int = 5
    ) -> dict[str, np.ndarray]:
        """Abilities of persons with standard errors.

        Args:
            fit: the fit.
            method: "eap" (posterior mean and standard deviation), "map" (posterior mode), "ml" (maximum likelihood),
                "wle" (the likelihood times the root of the information: Warm's estimate where log-odds are linear in
                ability), "eapsum" (posterior mean given the sum over the items that the person answered), "plausible"
                (draws from the posterior).
            x: other persons, as the data of the fit; those of the fit by default. Items somebody did not answer count
                for nothing.
            key: of random draws, for "plausible".
            draws: plausible values of each person.

        Returns:
            {"theta": (N,), "se": (N,)}, with an axis over abilities where there are several; {"theta": (N, draws)} for
            plausible values. Without any wrong answer, or any right one, the maximum of the likelihood is at +-inf and
            has no standard error (NaN).

        Raises:
            ValueError: an unknown method, no key for random draws, answers the fit does not know.

        >>> from latentem import datasets
        >>> data = datasets.lsat7()
        >>> fit = lem.fit(lem.IRT("2pl"), data.matrix("item_1", "item_2", "item_3"), weights=data.frequency)
        >>> fit.scores("ml", np.array([[1, 1, 1], [0, 0, 0]]))["theta"]
        array([ inf, -inf])
        """
        return of_persons.scores(fit, method, x, key, draws)

    def sum_scores(self, fit: Any) -> dict[str, np.ndarray]:
        """Every sum score: ability given it, and how often it was observed and is expected.

        Returns:
            {"sum_score": (S,), "theta", "se", "observed", "expected"}; counts are of persons who answered every item.

        Raises:
            ValueError: for several groups or latent regression, where ability depends on more than the sum.
        """
        return sum_scores.table_of_sums(fit)

    # --- information

    def item_information(self, fit: Any, theta: Any, group: Any = None) -> np.ndarray:
        """Fisher information about ability in every item.

        Args:
            fit: the fit.
            theta: abilities (T,), or (T, D) for D abilities.
            group: label, where groups have item params of their own; the reference by default.

        Returns:
            (T, J), or matrices (T, J, D, D).
        """
        return information.item_information(fit, theta, group)

    def test_information(self, fit: Any, theta: Any, group: Any = None) -> np.ndarray:
        """Fisher information about ability in all items together, (T,) or (T, D, D); see `item_information`."""
        return information.item_information(fit, theta, group).sum(axis=1)

    def expected_score(self, fit: Any, theta: Any, group: Any = None) -> np.ndarray:
        """Expected sum score at abilities theta: (T,), in the categories of the data; see `item_information`."""
        return information.expected_scores(fit, theta, group).sum(axis=1)

    def reliability(self, fit: Any) -> dict[str, Any]:
        """Reliability of the scores.

        Returns:
            {"marginal": the mean of variance / (variance + 1 / information) over the ability of the reference
            population, or of each group (left out for several abilities and latent regression), "empirical": the
            variance of EAP scores / (that variance + their mean squared standard error)}.
        """
        return information.reliability(fit)

    # --- fit of the model

    def person_fit(self, fit: Any, x: Any = None) -> dict[str, np.ndarray]:
        """Fit of persons at their posterior mean abilities; items somebody did not answer count for nothing.

        Args:
            fit: the fit.
            x: other persons, as the data of the fit; those of the fit by default.

        Returns:
            {"infit", "z_infit", "outfit", "z_outfit" (mean squares and their standard normal transformations), "Zh"
            (standardised log-likelihood: small for improbable answers)}, (N,) each; NaN for persons without answers.

        Source: Wright and Masters (1982); Drasgow, Levine and Williams (1985).
        """
        return fit_of_persons.person_fit(fit, x)

    def residuals(self, fit: Any, kind: str = "Q3") -> np.ndarray:
        """What the abilities leave unexplained of pairs of items, over the persons who answered both.

        Args:
            fit: the fit.
            kind: "Q3" (correlations of the residuals at posterior mean abilities) or "LD" (below the diagonal the
                chi-square of every two-way table against its expectation, above it Cramer's V, negative where the
                items are associated less than expected; NaN on the diagonal).

        Returns:
            (J, J).

        Raises:
            ValueError: another kind.

        Source: Yen (1984); Chen and Thissen (1997).
        """
        return of_pairs.residuals(fit, kind)

    # --- scale

    def link(
        self, fit: Any, other: Any, method: str = "mean-sigma", anchors: Sequence[str] | None = None
    ) -> linking.Link:
        """The linear change of scale that brings the items of this fit onto the scale of another.

        Args:
            fit: the fit.
            other: fit of an item response model to other persons, with items in common.
            method: "mean-sigma" (of the difficulties), "haebara" (curves of all categories of all items) or
                "stocking-lord" (curve of the expected sum score), over the population of the other fit.
            anchors: names of the common items to use; all by default.

        Returns:
            `Link(slope, intercept, params, anchors)`: ability there = slope * ability here + intercept, and the item
            params on that scale.

        Raises:
            ValueError: fewer than two common items, several abilities, item params by group, a custom item model.
        """
        return linking.link(fit, other, method, anchors)

    # --- the fit itself

    def simulate(self, fit: Any, key: Any, n: int) -> dict[str, np.ndarray]:
        """Answers of `n` new persons, as columns like those of the data.

        Groups and covariates are those of persons drawn from the data, with replacement; abilities and answers follow
        the fit. Nothing is missing.

        Args:
            fit: the fit.
            key: PRNG key.
            n: how many persons.

        Returns:
            {item: categories (n,)}, and the columns of groups and covariates.
        """
        return simulation.simulate(fit, key, n)

    def check_grid(self, fit: Any) -> grids.GridCheck:
        """Whether the grid of abilities is fine enough: fits once more, from the params found, on a grid twice as fine
        and reports the change of log-likelihood and params.

        Raises:
            ValueError: for a histogram, whose params are the weights of the nodes.
        """
        return grids.check_grid(fit)

    def grid_check(self, fit: Any) -> grids.GridCheck:
        """Whether the grid of abilities is fine enough, without refitting: the change of the log-likelihood at the
        params found when there are twice as many nodes, and that of the params by one Newton step there. It is
        `fit.grid_check`, computed when it is first asked for, and a line of `fit.summary()`.

        Raises:
            ValueError: for a histogram, or a fit that is no maximum.
        """
        return grids.grid_check(fit)

    def report(self, fit: Any) -> list[str]:
        """Lines of the summary: whether the grid is fine enough."""
        return [] if fit.model.declaration.histogram else [f"grid: {fit.grid_check}"]

    def rotate(self, fit: Any, method: str = "oblimin") -> Rotation:
        """Abilities of an exploratory fit turned to simple structure. The fit stays as it is: all turns are equally
        likely.

        Args:
            fit: of `lem.IRT(..., dimensions=D)`.
            method: "oblimin" and "quartimin" (abilities correlate), "varimax" and "quartimax" (they do not).

        Returns:
            `Rotation(method, loadings, slopes, correlation, communality, turn)`; rotated scores are
            `fit.scores()["theta"] @ turn`.

        Raises:
            ValueError: a fit that is not exploratory, another method.
            ImportError: without statsmodels, which minimises the criterion (extra `irt`).
        """
        return rotation.rotate(fit, method)

    # --- groups

    def dif(self, fit: Any, group: Any = None, alpha: float = 0.05, purify: bool = True) -> dict[str, np.ndarray]:
        """Differential item functioning: for every item, the likelihood-ratio test that its params are the same in all
        groups, while abilities of the groups differ in mean and variance.

        The first tests take all other items as anchors; with `purify`, the item that differs most leaves the anchors
        and all are tested again, until none of the anchors differs.

        Args:
            fit: the fit, with groups or without.
            group: label of the group of every person (N,); the groups of the fit by default.
            alpha: level at which an item leaves the anchors.
            purify: whether to repeat the tests.

        Returns:
            {"item", "chi2", "df", "p", "anchor"}, (J,) each; p is of each item by itself, not adjusted for their
            number; df 0 and p NaN for items whose params are fixed.

        Raises:
            ValueError: no groups, labels that are not one per person, latent regression, a histogram, item models that
                share params between items.
        """
        return functioning.dif(fit, group, alpha, purify)

    def item_fit(self, fit: Any) -> dict[str, np.ndarray]:
        """Fit of items: S-X2, infit, outfit and the standardised log-likelihood.

        S-X2 (Orlando and Thissen 2000; Kang and Chen 2008) compares the answers at every sum score with their
        expectation, over the persons who answered every item; cells of an expectation below 1 are collapsed. Infit,
        outfit and Zh are over all who answered the item, at their posterior mean abilities.

        Returns:
            {"item", "S_X2", "df_S_X2", "RMSEA_S_X2", "p_S_X2", "infit", "z_infit", "outfit", "z_outfit", "Zh"}, a row
            for every item; S-X2 is NaN where no degrees of freedom are left, or nobody answered every item.

        Raises:
            ValueError: several groups or covariates, whose sum scores do not add up.

        >>> from latentem import datasets
        >>> data = datasets.lsat7()
        >>> items = [f"item_{j}" for j in range(1, 6)]
        >>> fit = lem.fit(lem.IRT("2pl"), data.matrix(*items), weights=data.frequency)
        >>> fit.item_fit()["S_X2"].round(4)
        array([ 4.7505, 14.4535,  1.2727,  5.2365,  0.9409])
        """
        return of_items.item_fit(fit)

    def model_fit(self, fit: Any, kind: str | None = None) -> dict[str, float]:
        """Fit of the model from one- and two-way margins, and from all patterns where none is missing.

        M2 of Maydeu-Olivares and Joe (2005); with more than two categories in the form of Cai and Hansen (2013), from
        means and mean products of the answers (codes 0, 1, ...); C2 of Cai and Monro (2014) keeps the proportion of
        every category beside the mean products. Missing answers count as missing completely at random: every margin is
        that of the persons who have it, and the covariance of two margins shrinks with their overlap.

        Args:
            fit: the fit.
            kind: "M2" or "C2"; M2 where it has degrees of freedom left, else C2, when left out.

        Returns:
            {"M2" or "C2", "df", "p", "RMSEA", "RMSEA_5", "RMSEA_95" (90% interval), "SRMSR" (of each group, where there
            are several), "TLI", "CFI" (against independent items); "G2", "df_G2", "p_G2" where no answer is missing}.

        Raises:
            ValueError: no degrees of freedom are left, or two items have no persons in common.

        >>> from latentem import datasets
        >>> data = datasets.lsat7()
        >>> items = [f"item_{j}" for j in range(1, 6)]
        >>> fit = lem.fit(lem.IRT("2pl"), data.matrix(*items), weights=data.frequency)
        >>> round(fit.model_fit()["M2"], 4)
        11.9384
        """
        return of_model.model_fit(fit, kind)
