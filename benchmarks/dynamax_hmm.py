"""Seconds per EM iteration of dynamax in float64, for `hmm.py`: run by the interpreter of an environment that has it.

    PYTHON benchmarks/dynamax_hmm.py FOLDER gaussian|categorical

Reads FOLDER/case.npz, prints {"seconds": ...}. The iterations are those of its `fit_em`: an E-step for every sequence,
one M-step, in one program that is compiled before the time is taken (`fit_em` compiles anew at every call).
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from dynamax.hidden_markov_model import CategoricalHMM, DiagonalGaussianHMM

SHORT, LONG = 2, 12


def model(kind: str, case: Any) -> tuple[Any, Any, Any]:
    """(the model, its params at the start, which of them are fitted)."""
    k, key = len(case["initial"]), jax.random.PRNGKey(0)
    chain = {"initial_probs": jnp.asarray(case["initial"]), "transition_matrix": jnp.asarray(case["transition"])}
    if kind == "gaussian":
        mean, scale = jnp.asarray(case["emission_mean"]), jnp.sqrt(jnp.asarray(case["emission_variance"]))
        hmm = DiagonalGaussianHMM(k, mean.shape[1])
        return hmm, *hmm.initialize(key, emission_means=mean, emission_scale_diags=scale, **chain)
    probabilities = jnp.asarray(case["emission_probabilities"])[:, None]
    hmm = CategoricalHMM(k, 1, probabilities.shape[2])
    return hmm, *hmm.initialize(key, emission_probs=probabilities, **chain)


def main(folder: str, kind: str) -> None:
    jax.config.update("jax_enable_x64", True)
    case = np.load(Path(folder) / "case.npz")
    lengths, x = case["lengths"], case["x"].reshape(len(case["x"]), -1)
    if len(set(lengths.tolist())) > 1:
        raise SystemExit("dynamax takes sequences of one length only")
    batch = jnp.asarray(x.reshape(len(lengths), lengths[0], -1))
    hmm, params, properties = model(kind, case)

    @partial(jax.jit, static_argnums=1)
    def run(params: Any, steps: int) -> Any:
        def step(carry: Any, _: Any) -> tuple[Any, Any]:
            params, state = carry
            statistics, score = jax.vmap(partial(hmm.e_step, params))(batch, None)
            return hmm.m_step(params, properties, statistics, state), score.sum()

        begin = (params, hmm.initialize_m_step_state(params, properties))
        return jax.lax.scan(step, begin, None, length=steps)

    for steps in (SHORT, LONG):
        jax.block_until_ready(run(params, steps))
    times = []
    for _ in range(3):
        a = time.perf_counter()
        jax.block_until_ready(run(params, SHORT))
        b = time.perf_counter()
        jax.block_until_ready(run(params, LONG))
        times.append(((time.perf_counter() - b) - (b - a)) / (LONG - SHORT))
    print(json.dumps({"seconds": median(times)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
