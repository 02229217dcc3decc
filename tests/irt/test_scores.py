"""Scores, information and reliability: figures of R's mirt 1.47 at its 2PL fit of LSAT7, and identities."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest
from scipy import integrate

import latentem as lem
from latentem import datasets

ITEMS = [f"item_{j}" for j in range(1, 6)]
PATTERNS = np.array(list(itertools.product((0, 1), repeat=5)))
# fscores(method = ...) of the 32 patterns, 00000 to 11111: estimates, then standard errors.
FIGURES = {
    "eap": (
        [
            -1.8697834841,
            -1.5272583461,
            -1.5139658362,
            -1.1855044032,
            -1.0940397894,
            -0.7661798212,
            -0.7529252921,
            -0.4112788354,
            -1.3719599516,
            -1.0458011708,
            -1.0328215304,
            -0.7034372588,
            -0.608613205,
            -0.2573909294,
            -0.2428297949,
            0.141149555,
            -1.4136995495,
            -1.0870779071,
            -1.0741099693,
            -0.7457998365,
            -0.6515537847,
            -0.3033997503,
            -0.2889939305,
            0.0902716501,
            -0.9340654113,
            -0.6013387885,
            -0.5877672235,
            -0.2349907814,
            -0.1305888187,
            0.26541844,
            0.2821041535,
            0.7271848502,
        ],
        [
            0.692699657,
            0.6736268904,
            0.6730811093,
            0.6651742257,
            0.6650236417,
            0.6721254257,
            0.6726575544,
            0.6922044351,
            0.6683041359,
            0.6653203586,
            0.6654447137,
            0.6748041216,
            0.679598831,
            0.7041479776,
            0.7053597761,
            0.7410192896,
            0.6695027383,
            0.6650503737,
            0.6651146325,
            0.6729511507,
            0.6773191052,
            0.7004069234,
            0.7015635825,
            0.7359792042,
            0.6670078382,
            0.6800023677,
            0.6807684273,
            0.7060174874,
            0.7151085388,
            0.7535658002,
            0.7552696273,
            0.8009320514,
        ],
    ),
    "map": (
        [
            -1.8163882263,
            -1.494638202,
            -1.4822807439,
            -1.1791331798,
            -1.0952302473,
            -0.7946272194,
            -0.7824460653,
            -0.4663646477,
            -1.350753745,
            -1.0510193342,
            -1.0391259208,
            -0.7369257277,
            -0.6494938833,
            -0.3221343608,
            -0.3084131804,
            0.0585992909,
            -1.3893263665,
            -1.088848468,
            -1.0769622878,
            -0.7758958737,
            -0.6891247041,
            -0.3654022994,
            -0.3518686913,
            0.0093736158,
            -0.9486423214,
            -0.642773404,
            -0.6302297944,
            -0.3010207833,
            -0.2021842347,
            0.179605541,
            0.195935715,
            0.6381509868,
        ],
        [
            0.6749897031,
            0.6496080952,
            0.6488592454,
            0.637342166,
            0.6367262752,
            0.6442863762,
            0.6449078361,
            0.6685662845,
            0.6421722212,
            0.636880026,
            0.6369781466,
            0.6474359559,
            0.6531705831,
            0.6833812491,
            0.6848920607,
            0.7295844497,
            0.6438807678,
            0.6367279775,
            0.6367495479,
            0.6452516716,
            0.6504316304,
            0.6787249625,
            0.6801632712,
            0.7232628581,
            0.6385135268,
            0.6536573583,
            0.6545828471,
            0.6857123798,
            0.6970789729,
            0.7452863593,
            0.7474132186,
            0.8035328756,
        ],
    ),
    "ml": (
        [
            np.nan,
            -3.1243079833,
            -3.0693357296,
            -2.101615134,
            -1.9097762278,
            -1.3426482781,
            -1.3221528767,
            -0.8156029359,
            -2.5779855555,
            -1.8162873527,
            -1.7919016766,
            -1.2465924974,
            -1.1050449303,
            -0.5845329706,
            -0.5620213331,
            0.127040337,
            -2.7072071305,
            -1.8959892404,
            -1.8705808656,
            -1.311182864,
            -1.1687194845,
            -0.6547794379,
            -0.6329180436,
            0.0196956151,
            -1.6154060437,
            -1.0943114594,
            -1.0743202046,
            -0.5498401054,
            -0.3826017943,
            0.4269913292,
            0.4725866719,
            np.nan,
        ],
        [
            np.nan,
            1.3820337572,
            1.3567551304,
            0.9906325996,
            0.9375998362,
            0.836997312,
            0.8352403107,
            0.840177247,
            1.1522822699,
            0.9148110518,
            0.9092256296,
            0.8300294624,
            0.8257721729,
            0.8741382849,
            0.8784942044,
            1.0951132887,
            1.2024402565,
            0.9341058201,
            0.9277856227,
            0.8343596552,
            0.8267862212,
            0.8617298642,
            0.8653982218,
            1.0513601438,
            0.8735881019,
            0.8257480428,
            0.8258167379,
            0.8809276084,
            0.9196620933,
            1.2354437844,
            1.2590635872,
            np.nan,
        ],
    ),
    "wle": (
        [
            -4.1370718493,
            -2.5998327316,
            -2.562099705,
            -1.8610525881,
            -1.7170384965,
            -1.2847685626,
            -1.2690267888,
            -0.8820179758,
            -2.2127868947,
            -1.6464065324,
            -1.6279369677,
            -1.2109816572,
            -1.1023456287,
            -0.7097908448,
            -0.6932595797,
            -0.217280379,
            -2.3063728159,
            -1.7066405083,
            -1.6874611748,
            -1.2606002439,
            -1.1511834622,
            -0.7616821302,
            -0.7454849677,
            -0.2870385903,
            -1.4937026813,
            -1.0941209795,
            -1.0788097658,
            -0.6843351925,
            -0.5634108774,
            -0.0323250659,
            -0.0055570736,
            1.0881873282,
        ],
        [
            1.8879163308,
            1.1424275569,
            1.1265316773,
            0.8564264637,
            0.8141201056,
            0.7335084755,
            0.7320248031,
            0.7295574779,
            0.9830807744,
            0.7959605527,
            0.7915127835,
            0.7274777768,
            0.7229062075,
            0.7496388223,
            0.7522492558,
            0.8770397524,
            1.0205205595,
            0.8113346235,
            0.8062971729,
            0.7312743736,
            0.7243233283,
            0.7422194309,
            0.7444089818,
            0.8529494121,
            0.7631242737,
            0.7227704437,
            0.7225968357,
            0.753707863,
            0.7768674131,
            0.9498353481,
            0.9613986519,
            1.6194133099,
        ],
    ),
}


@pytest.fixture(scope="module")
def lsat7() -> lem.Fit:
    data = datasets.lsat7()
    return lem.fit(lem.IRT("2pl"), data.matrix(*ITEMS), weights=data.frequency, polish=False, tolerance=1e-13)


@pytest.mark.parametrize("method", list(FIGURES))
def test_scores_of_every_pattern(lsat7: lem.Fit, method: str) -> None:
    theta, errors = (np.array(a) for a in FIGURES[method])
    found = lsat7.scores(method, PATTERNS)
    if method == "ml":
        assert found["theta"][0] == -np.inf and found["theta"][-1] == np.inf
        assert np.isnan(found["se"][[0, -1]]).all()
    finite = np.isfinite(theta)
    np.testing.assert_allclose(found["theta"][finite], theta[finite], atol=1e-5)
    np.testing.assert_allclose(found["se"][finite], errors[finite], rtol=1e-4)


def test_sum_scores(lsat7: lem.Fit) -> None:
    table = lsat7.sum_scores()  # mirt: fscores(method = "EAPsum")
    theta = [-1.8697834841, -1.4318646076, -0.9488539375, -0.4131964085, 0.1517328619, 0.7271848502]
    errors = [0.6926996570, 0.6838655967, 0.6942285349, 0.7210958517, 0.7587716737, 0.8009320515]
    expected = [10.0898569, 44.6589927, 109.7730010, 207.7382736, 319.1859611, 308.5539147]
    assert table["sum_score"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["observed"].tolist() == [12, 40, 114, 205, 321, 308]
    np.testing.assert_allclose(table["theta"], theta, atol=1e-6)
    np.testing.assert_allclose(table["se"], errors, rtol=1e-6)
    np.testing.assert_allclose(table["expected"], expected, rtol=1e-6)
    found = lsat7.scores("eapsum", PATTERNS)
    np.testing.assert_allclose(found["theta"], table["theta"][PATTERNS.sum(axis=1)], rtol=1e-12)
    np.testing.assert_allclose(found["se"], table["se"][PATTERNS.sum(axis=1)], rtol=1e-12)


def curves(fit: lem.Fit, theta: np.ndarray) -> np.ndarray:
    """P(right), (T, J), in NumPy."""
    params = fit.params["2pl"]
    return 1 / (1 + np.exp(-(params["slope"] * theta[:, None] + params["intercept"])))


@pytest.mark.parametrize("method", ["eap", "map", "ml", "wle", "eapsum"])
def test_missing_answers_count_for_nothing(lsat7: lem.Fit, method: str) -> None:
    # Answers to items 1, 2 and 4 only, on a fine grid of abilities in NumPy.
    x = np.vstack([[1, 0, np.nan, 1, np.nan], PATTERNS[1:]])
    theta = np.linspace(-6, 6, 120_001 if method in ("map", "ml", "wle") else 61)
    p = curves(lsat7, theta)[:, [0, 1, 3]]
    likelihood = p[:, 0] * (1 - p[:, 1]) * p[:, 2]
    if method == "eapsum":
        likelihood = likelihood + p[:, 0] * p[:, 1] * (1 - p[:, 2]) + (1 - p[:, 0]) * p[:, 1] * p[:, 2]
    if method in ("eap", "map", "eapsum"):
        likelihood = likelihood * np.exp(-0.5 * theta**2)
    if method == "wle":
        likelihood = likelihood * np.sqrt((lsat7.params["2pl"]["slope"][[0, 1, 3]] ** 2 * p * (1 - p)).sum(axis=1))
    found = lsat7.scores(method, x)
    if method in ("eap", "eapsum"):
        mean = np.average(theta, weights=likelihood)
        assert found["theta"][0] == pytest.approx(mean, abs=1e-12)
        assert found["se"][0] == pytest.approx(np.sqrt(np.average((theta - mean) ** 2, weights=likelihood)), abs=1e-12)
    else:
        best = int(np.argmax(likelihood))
        assert found["theta"][0] == pytest.approx(theta[best], abs=1e-4)
        curvature = np.diff(np.log(likelihood[best - 100 : best + 101 : 100]), 2)[0] / 0.01**2
        assert found["se"][0] == pytest.approx(1 / np.sqrt(-curvature), rel=1e-3)


def test_plausible_values_are_draws_from_the_posterior(lsat7: lem.Fit) -> None:
    draws = 1500
    chosen, eap = [0, 13, 31], lsat7.scores("eap", PATTERNS)
    theta = lsat7.scores("plausible", PATTERNS, key=jax.random.key(3), draws=draws)["theta"]
    assert theta.shape == (32, draws)
    error = eap["se"] / np.sqrt(draws)
    assert np.all(np.abs(theta.mean(axis=1) - eap["theta"])[chosen] < 3 * error[chosen])
    np.testing.assert_allclose(theta.std(axis=1)[chosen], eap["se"][chosen], rtol=3 / np.sqrt(2 * draws))
    for person in chosen:  # the whole distribution, against quadrature
        at = np.linspace(-8, 8, 3201)
        p = curves(lsat7, at)
        density = np.exp(-0.5 * at**2) * np.prod(np.where(PATTERNS[person] == 1, p, 1 - p), axis=1)
        below = integrate.cumulative_trapezoid(density, at, initial=0)
        uniform = np.sort(np.interp(theta[person], at, below / below[-1]))
        distance = np.abs(uniform - (np.arange(draws) + 0.5) / draws).max()
        assert distance < 1.63 / np.sqrt(draws)  # Kolmogorov's 1% point


def test_information_and_reliability(lsat7: lem.Fit) -> None:
    theta = np.array([-3.0, -2, -1, 0, 1, 2, 3])
    info = [0.569050793189, 1.081522148518, 1.460827683870, 0.918058072982, 0.402369585736, 0.168925830850]
    np.testing.assert_allclose(lsat7.test_information(theta)[:6], info, rtol=1e-6)
    np.testing.assert_allclose(lsat7.information(theta)[:6], info, rtol=1e-6)
    p = curves(lsat7, theta)
    np.testing.assert_allclose(lsat7.item_information(theta), lsat7.params["2pl"]["slope"] ** 2 * p * (1 - p))
    np.testing.assert_allclose(lsat7.expected_score(theta), p.sum(axis=1))
    found = lsat7.reliability()
    assert found["marginal"] == pytest.approx(0.441819010667786, abs=1e-7)
    assert found["empirical"] == pytest.approx(0.452304975519561, abs=1e-7)


def test_errors_in_one_line(lsat7: lem.Fit) -> None:
    for call, told in [
        (lambda: lsat7.scores("mle"), "method='mle': expected one of 'eap'"),
        (lambda: lsat7.scores("plausible"), "pass key="),
        (lambda: lsat7.scores("plausible", key=jax.random.key(0), draws=0), "draws=0: expected a positive number"),
        (lambda: lsat7.scores("eap", np.full((1, 5), 2)), "item 'item_1' holds 2 for person 0"),
        (lambda: lsat7.test_information(np.zeros((2, 2))), r"theta has shape \(2, 2\): expected \(T,\)"),
        (lambda: lsat7.expected_score(0.0, group="b"), "group='b': this fit has no groups"),
    ]:
        with pytest.raises(ValueError, match=told) as error:
            call()
        assert "\n" not in str(error.value)
