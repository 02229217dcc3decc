"""A fitted mixed model of several responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from latentem.models.mixed import components
from latentem.models.mixed import formula as formulas
from latentem.models.mixed.declare import levels_of
from latentem.models.mixed.of_formula import OfFormula
from latentem.models.mixed.simulation import generator


@dataclass(frozen=True)
class TraitsFit(OfFormula):
    """A fitted mixed model of t responses.

    `params` holds "fixed" (t, p), "effects" {grouping: Cholesky rows of the covariance of its effects, those of a trait
    together} and "residual" (t, t), Cholesky rows. Tables name coordinates "trait: coordinate"; a covariance among
    traits is a row of `variance_components()`, its correlation the column "sd".
    """

    def standard_errors(self, kind: str = "observed") -> Any:
        """Standard errors, shaped like params."""
        self.refuse_without_maximum("standard_errors")
        roots, _ = self.solved.unpack(np.sqrt(np.maximum(np.diagonal(self.solved.covariance(kind)), 0.0)))
        names = [e.name for e in self.solved.design.effects]
        fixed = np.sqrt(np.diagonal(self.fixed_covariance)).reshape(len(self.solved.traits), -1)
        return {"fixed": fixed, "effects": dict(zip(names, roots[:-1], strict=True)), "residual": roots[-1]}

    def heritability(
        self, of: str, trait: str, *, among: Sequence[str] | None = None, level: float = 0.95
    ) -> components.Estimated:
        """Share of the variance of one grouping in the whole, of one trait.

        Args:
            of: the grouping.
            trait: the response.
            among: groupings whose variances make up the whole, with the residual; all by default.
            level: of the interval, which is normal for the logit of the share.

        Raises:
            ValueError: no such grouping or trait.
        """
        solved = self.solved
        names, traits = [e.name for e in solved.design.effects], solved.traits
        for what, name, known in (("grouping", of, names), ("trait", trait, traits)):
            if name not in known:
                raise ValueError(f"heritability: {name!r} is no {what}: expected one of {', '.join(known)}")
        k, whole = traits.index(trait), {*(names if among is None else among), of}
        place = {e.name: k * (e.r // len(traits)) for e in solved.design.effects}

        def share(parts: dict[str, Any]) -> float:
            total = sum(parts[name][place[name], place[name]] for name in whole) + parts["residual"][k, k]
            return parts[of][place[of], place[of]] / total

        return components.between(components.function_of_components(self, share, level=level), level)

    def predict(self, data: Any = None, *, random: bool = True) -> Float[np.ndarray, "n t"]:  # pyright: ignore
        """Expected responses, of traits that a record lacks too.

        Args:
            data: a table with the columns of the right-hand side; that of the fit by default.
            random: with the predicted random effects; a level that the fit does not know counts as an average one.
        """
        solved, design = self.solved, self.solved.plain
        if data is None:
            x, zs = design.x, [(e.z, e.codes) for e in design.effects]
        else:
            frame = formulas.frame_of(data)
            x = design.fixed.of(frame)
            terms = zip(design.effects, design.random, design.coordinates, strict=True)
            zs = [(c.of(frame), e.bound.index(levels_of(term, frame))) for e, term, c in terms] if random else []
        t = len(solved.traits)
        value = x @ solved.beta.reshape(t, -1).T
        for (z, codes), b in zip(zs if random else [], solved.random, strict=False):
            each = b.reshape(t, z.shape[1], -1)[:, :, np.maximum(codes, 0)]
            value = value + np.where(codes >= 0, np.einsum("na,tan->tn", z, each), 0.0).T
        return value

    def residuals(self, kind: str = "response") -> Float[np.ndarray, "n t"]:
        """Observed minus fitted, "response", or divided by the residual standard deviation of the trait, "pearson"; NaN
        where a trait is missing."""
        if kind not in ("response", "pearson"):
            raise ValueError(f"kind={kind!r}: expected 'response' or 'pearson'")
        left = self.solved.plain.y - self.predict()
        return left if kind == "response" else left / np.sqrt(np.diagonal(self.solved.covariances[-1]))

    def simulate(self, key: Any, n: int = 1, *, random: bool = True) -> Float[np.ndarray, "n N t"]:
        """Responses simulated from the fitted model, for the records of the fit, no trait missing.

        Args:
            key: typed PRNG key, or a whole number.
            n: how many sets of responses.
            random: draw random effects anew; else keep those predicted.
        """
        solved, draws, found = self.solved, generator(key), []
        t, design = len(solved.traits), solved.plain
        for _ in range(n):
            value = design.x @ solved.beta.reshape(t, -1).T
            for effect, root, b in zip(design.effects, solved.roots, solved.random, strict=False):
                own = root @ effect.bound.draw(draws, len(root)).T if random else b
                each = own.reshape(t, effect.r, -1)[:, :, effect.codes]
                value = value + np.einsum("na,tan->nt", effect.z, each)
            found.append(value + draws.normal(size=value.shape) @ solved.roots[-1].T)
        return np.array(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {
            **self.facts(),
            "formula": self.declaration.formula,
            "reml": self.declaration.reml,
            "fixed_effects": components.plain(self.fixed_effects()),
            "variance_components": components.plain(self.variance_components()),
            "notes": list(self.notes),
        }
