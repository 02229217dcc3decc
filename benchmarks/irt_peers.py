"""Run by `irt.py` in an environment of its own: fits a 2PL with theta-irt and with the Python package mirt.

python irt_peers.py DATA.npz OUT.npz theta|mirt TOLERANCE REPEATS
"""

import sys
import time

import numpy as np

data, out, package, tolerance, repeats = sys.argv[1:]
x = np.load(data)["x"]
seconds = []
for _ in range(int(repeats)):
    began = time.perf_counter()
    if package == "theta":
        import theta

        model = theta.fit(x.astype(float), "2PL", n_points=61, max_iter=5000, tol=float(tolerance))
        slope, difficulty = np.asarray(model.a), np.asarray(model.b)
    else:
        import mirt

        fit = mirt.fit_mirt(
            x.astype(int), "2PL", n_quadpts=61, max_iter=5000, tol=float(tolerance), compute_standard_errors=False
        )
        params = fit.model.parameters
        slope, difficulty = np.asarray(params["discrimination"]).ravel(), np.asarray(params["difficulty"]).ravel()
    seconds.append(time.perf_counter() - began)
np.savez(out, seconds=seconds, slope=slope, intercept=-slope * difficulty)
