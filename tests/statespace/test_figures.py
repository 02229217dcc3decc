"""Figures of other programs: KFAS, MARSS, astsa, statsmodels; each with its source."""

from __future__ import annotations

import numpy as np
import pytest

import latentem as lem

NILE = lem.datasets.nile().volume
LEVEL = {"transition": "identity", "observation": [[1.0]]}

#: Logarithms of counts of harbor seals in five regions of Washington State, 1978 to 1999: Jeffries et al. (2003),
#: Journal of Wildlife Management 67, as in MARSS 3.11.9 (harborSealWA).
SEALS = """
6.033086222 6.747586527 6.626717749 5.82008293 6.595780514
nan nan nan nan nan
nan nan nan nan nan
nan nan nan nan nan
nan nan nan nan nan
6.783325201 7.431299675 7.205635176 nan nan
6.932447892 7.744136628 7.454141078 nan nan
7.160845907 7.527793988 7.255591274 6.595780514 nan
6.744059186 7.693025748 7.385851078 nan nan
6.923628628 7.686621335 7.467942332 nan nan
7.325148958 7.954021087 7.550661243 nan nan
7.245655068 7.966933498 7.516977225 nan nan
7.04053639 8.057377489 nan nan nan
7.121252453 8.163371316 7.569927655 6.792344427 7.095064377
7.365180126 8.199738961 7.650644551 6.562444094 6.896694332
7.675081858 8.417151837 7.684783944 6.879355804 6.383506635
7.305188215 8.418256444 7.670428522 6.749931194 nan
7.732369222 8.48714627 7.634337236 nan nan
7.594884387 8.581106517 7.832410927 7.020190708 6.882437471
7.733683571 8.361007108 7.604894481 6.966024187 6.543911846
7.458186157 8.398634855 7.501082124 6.933423026 6.357842267
7.468513271 8.185350223 7.535296702 6.932447892 6.56667243
"""

#: 100 readings of an AR(1) with noise, drawn by R 4.2.2, set.seed(999): Shumway and Stoffer (2017), example 6.8.
AR1 = np.array(
    [
        0.660363898998699,
        1.57150401702325,
        1.4778186478969,
        0.650388669894194,
        0.997696743351874,
        1.13375776394998,
        1.57269715385339,
        -1.01820999858219,
        -1.21081014999575,
        0.177597123766465,
        0.195989118929104,
        1.53609156092107,
        0.429825250770115,
        1.17053788806048,
        0.132945855493998,
        -0.448487318986959,
        -2.13610480370887,
        -0.308558289484317,
        -0.867102842605087,
        -0.572485726700641,
        0.952434519483262,
        0.369191700825943,
        1.12825662733928,
        0.785602755576723,
        -0.0352948310414358,
        -0.603470797823659,
        -1.58118042237204,
        -0.276109341478521,
        -1.70997968867623,
        0.637820664065425,
        -0.274204332412243,
        -0.104513603488421,
        -2.31334478483408,
        -1.41120263928422,
        -1.94991988745899,
        -0.413278648619431,
        1.18065102982136,
        0.801205885953338,
        2.04530768051214,
        2.86883628920943,
        0.444354852060099,
        1.62997578715271,
        -0.62720583943222,
        1.77412791812158,
        0.83881531766968,
        -0.924592199535492,
        -1.00945110420281,
        0.134080056560394,
        -3.07751774802882,
        0.723198882563426,
        -1.0415517215707,
        -1.36542580032241,
        1.05971364624758,
        -1.71920838270288,
        -1.56730187331536,
        -0.660148134333,
        -1.09825872399202,
        -2.59271482428861,
        -0.223179129050179,
        -3.17365379257194,
        -2.98702308993091,
        -5.33537369566591,
        -4.91623055372079,
        -2.83902187141144,
        -3.00231786625191,
        -0.0506156065056362,
        -2.24796983357131,
        -0.354897882936802,
        -0.35210938766363,
        -1.88766165502918,
        -3.5884059848009,
        -4.38685519944132,
        -0.877092015700203,
        -3.57479723558897,
        0.663178658419606,
        0.98440078883247,
        -0.313361076616396,
        1.95956078631576,
        1.00954968282533,
        0.028302598368913,
        0.961044627966435,
        0.225817829481608,
        -2.46029033621859,
        0.598540551112202,
        -2.59410508910849,
        -1.89493661515337,
        -4.07474020669334,
        -2.89897110101209,
        -1.40001630103757,
        1.67388365795188,
        2.26214103529404,
        3.55610879096634,
        2.43946839884393,
        -0.349296838806821,
        1.92444964508455,
        2.32745826940213,
        -0.507479406567461,
        -1.34046713301544,
        2.23099766663927,
        3.41580130991709,
    ]
)
#: Minus the log-likelihood, without its constant, at each of 34 EM iterations: astsa 2.5, EM().
AR1_PATH = """
91.8547787885747 91.3923518337103 91.2043966085177 91.0840954238141 90.9950386680502 90.9249419176324 90.868107703391
90.8212900041385 90.7823651681575 90.7498124800907 90.7224788547596 90.6994582053363 90.6800225267705 90.6635786439322
90.6496388656229 90.6377998233286 90.6277265114545 90.6191398642837 90.6118068754676 90.6055326255745 90.6001537871087
90.5955332989327 90.5915559801501 90.5881249063042 90.58515840831 90.5825875824041 90.5803542207818 90.5784090893628
90.5767104925074 90.5752230753063 90.5739168228302 90.5727662228744 90.571749564598 90.5708483502513
"""


def numbers(text: str) -> np.ndarray:
    return np.array([[float(a) for a in line.split()] for line in text.strip().splitlines()])


def seals() -> np.ndarray:
    return numbers(SEALS)


def test_the_level_of_the_nile_begins_anywhere() -> None:
    """KFAS 1.5.1, exact diffuse; Durbin and Koopman (2012): 15099 and 1469.1."""
    fit = lem.fit(lem.LocalLevel(), NILE)
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(-632.545625103041, abs=1e-7)
    assert fit.params["noise"] == pytest.approx(15098.521302641, rel=1e-5)
    assert fit.params["level"] == pytest.approx(1469.17545443123, rel=1e-5)


def test_the_level_of_the_nile_begins_at_an_unknown_constant() -> None:
    """MARSS 3.11.9, BFGS; x_1 is a fixed unknown."""
    fit = lem.fit(lem.StateSpace(1, **LEVEL, initial="constant"), NILE)
    assert fit.log_likelihood == pytest.approx(-637.602932092003, abs=1e-6)
    assert fit.params["noise"][0, 0] == pytest.approx(15279.4864918735, rel=1e-6)
    assert fit.params["process"][0, 0] == pytest.approx(1279.62736727548, rel=1e-5)
    assert fit.params["transition"][0, 0] == 1.0 and fit.params["observation"][0, 0] == 1.0


def test_em_and_its_limit_on_the_nile_with_a_given_start() -> None:
    """200 iterations from (1000, 10000) and the limit, of an independent program in float64."""
    model = lem.StateSpace(1, **LEVEL, initial=([1120.0], [[1e4]]))
    start = {
        "transition": [[1.0]],
        "process": [[1000.0]],
        "observation": [[1.0]],
        "noise": [[1e4]],
        "initial_mean": [1120.0],
        "initial_covariance": [[1e4]],
    }
    early = lem.fit(model, NILE, initial=start, method=lem.Plain(), max_iterations=200, tolerance=0.0, polish=False)
    assert early.iterations == 200
    assert early.params["process"][0, 0] == pytest.approx(1416.70433216, abs=1e-6)
    assert early.params["noise"][0, 0] == pytest.approx(15143.72358214, abs=1e-6)
    late = lem.fit(model, NILE, initial=start)
    assert late.log_likelihood == pytest.approx(-638.2407053, abs=1e-6)
    assert late.params["process"][0, 0] == pytest.approx(1418.99521, abs=1e-5)
    assert late.params["noise"][0, 0] == pytest.approx(15140.06368, abs=1e-5)


def test_every_iteration_of_an_autoregression_with_noise() -> None:
    """astsa 2.5; its first state is z_0."""
    start = {
        "transition": [[0.837159484948378]],
        "process": [[0.633581627930299]],
        "observation": [[1.0]],
        "noise": [[1.24488384451423]],
        "initial_mean": [0.0],
        "initial_covariance": [[2.8]],
    }
    model = lem.StateSpace(1, observation=[[1.0]], initial="free", before=True)
    fit = lem.fit(model, AR1, initial=start, method=lem.Plain(), max_iterations=34, tolerance=0.0, polish=False)
    path = -fit.trace - 0.5 * len(AR1) * np.log(2 * np.pi)
    np.testing.assert_allclose(path, np.array(AR1_PATH.split(), float), atol=1e-9)


def test_seals_with_counts_missing() -> None:
    """MARSS 3.11.9: one population, a drift, one variance of the counts; z_0 is a fixed unknown."""
    model = lem.StateSpace(
        1,
        transition="identity",
        observation=np.ones((5, 1)),
        noise="equal",
        inputs="1",
        offsets="1",
        offset_effect=[[0.0]] + [[np.nan]] * 4,
        initial="constant",
        before=True,
    )
    fit = lem.fit(model, seals())
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(3.595973, abs=1e-6)
    assert fit.params["offset_effect"][0, 0] == 0.0
    assert len(set(np.diagonal(fit.params["noise"]).tolist())) == 1
