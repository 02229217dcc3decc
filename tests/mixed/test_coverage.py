"""Do intervals for heritability hold what they promise? Simulated pedigrees of three generations."""

from typing import Any

import numpy as np
import pytest

import latentem as lem

REPLICATES, H2 = 300, 0.4


@pytest.mark.slow
def test_intervals_for_heritability_cover() -> None:
    rng = np.random.default_rng(0)
    each = 200
    sire, dam = [np.zeros(each, int)], [np.zeros(each, int)]
    for g in (1, 2):
        first = (g - 1) * each + 1
        sire.append(rng.choice(first + np.arange(20), each))
        dam.append(rng.choice(first + 20 + np.arange(80), each))
    identity = np.arange(1, 3 * each + 1)
    pedigree = lem.pedigree(identity, np.concatenate(sire), np.concatenate(dam))
    bound = pedigree.bind(identity, "id")
    codes = bound.index(identity)
    genetic = bound.draw(rng, REPLICATES)[codes]
    x = rng.normal(size=len(identity))
    model = lem.Mixed("y ~ x + (1 | id)", {"id": pedigree})
    covered = known = 0
    for k in range(REPLICATES):
        y = 1 + 0.5 * x + np.sqrt(H2) * genetic[:, k] + rng.normal(0, np.sqrt(1 - H2), len(x))
        fit: Any = lem.fit(model, {"y": y, "x": x, "id": identity})
        found = fit.heritability()
        if np.isfinite(found.lower):
            known += 1
            covered += found.lower <= H2 <= found.upper
    assert known >= 0.98 * REPLICATES
    # 95 % within three binomial standard errors
    assert abs(covered / known - 0.95) < 3 * np.sqrt(0.95 * 0.05 / REPLICATES), covered / known
