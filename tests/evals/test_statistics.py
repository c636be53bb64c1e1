"""Intervals and tests against scipy and statsmodels, over random cases and at the ends."""

import random
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from codeact.evals.statistics import Interval, bootstrap, difference, holm, mcnemar, sign_flip, success, wilson

ENDS = [(0, 1), (1, 1), (0, 82), (82, 82), (1, 82), (41, 82)]
RANDOM = random.Random(1)
SHARES = [*ENDS, *((RANDOM.randint(0, n), n) for n in (RANDOM.randint(1, 600) for _ in range(200)))]


def test_wilson_is_that_of_statsmodels_and_of_scipy():
    for right, n in SHARES:
        assert wilson(right, n) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)
        theirs = scipy.stats.binomtest(right, n).proportion_ci(0.9, "wilson")
        assert wilson(right, n, level=0.9) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_of_nothing_is_everything_and_the_share_is_always_inside():
    assert wilson(0, 0) == (0, 1)
    assert all(wilson(right, n).low <= right / n <= wilson(right, n).high for right, n in SHARES)
    with pytest.raises(ValueError, match="3 of 2 is no share"):
        wilson(3, 2)


def test_82_tasks_leave_ten_points_either_way():
    low, high = wilson(41, 82)
    assert 0.10 < high - 0.5 < 0.11
    assert 0.10 < 0.5 - low < 0.11


def test_mcnemar_is_that_of_statsmodels_and_the_binomial_test():
    for b, c in [(0, 0), (0, 1), (1, 0), (5, 5), (0, 30), *((RANDOM.randint(0, 60), RANDOM.randint(0, 60)) for _ in range(100))]:
        assert mcnemar(b, c) == pytest.approx(their_mcnemar([[7, b], [c, 9]], exact=True).pvalue, abs=1e-12)
        if b + c:
            assert mcnemar(b, c) == pytest.approx(scipy.stats.binomtest(b, b + c).pvalue, abs=1e-12)


def test_flipping_signs_of_single_tries_is_mcnemar():
    for b, c in [(0, 0), (0, 1), (4, 4), (3, 12), (20, 41)]:
        ones = [Fraction(1)] * b + [Fraction(-1)] * c + [Fraction(0)] * 10
        assert sign_flip(ones) == pytest.approx(mcnemar(b, c), abs=1e-12)


@pytest.mark.parametrize("n_repeats", [1, 2, 3, 5])
def test_flipping_signs_is_scipys_permutation_test_over_all_flips(n_repeats):
    draw = random.Random(n_repeats)
    for _ in range(10):
        values = [Fraction(draw.randint(-n_repeats, n_repeats), n_repeats) for _ in range(draw.randint(2, 10))]
        if not any(values):
            continue
        theirs = scipy.stats.permutation_test(
            ([float(value) for value in values],), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples",
            n_resamples=np.inf, vectorized=True)  # fmt: skip
        by_hand = [sum(sign * value for sign, value in zip(signs, values)) for signs in product((1, -1), repeat=len(values))]
        exact = sum(abs(total) >= abs(sum(values)) for total in by_hand) / len(by_hand)
        assert sign_flip(values) == pytest.approx(exact, abs=1e-12)
        assert sign_flip(values) == pytest.approx(theirs.pvalue, abs=1e-9)


def test_flipping_signs_of_turns_with_unlike_repeats_is_exact():
    values = [Fraction(7, 3), Fraction(-1, 2), Fraction(5, 6), Fraction(1, 1), Fraction(-2, 3)]
    by_hand = [sum(sign * value for sign, value in zip(signs, values)) for signs in product((1, -1), repeat=5)]
    assert sign_flip(values) == sum(abs(total) >= sum(values) for total in by_hand) / 32
    assert sign_flip([]) == sign_flip([Fraction(0)]) == 1.0


def test_very_many_tasks_go_by_the_normal_curve_which_is_the_same():
    draw = random.Random(5)
    for more in (3, 10, 30, 60):
        values = [Fraction(draw.choice([-3, -2, -1]) * (-1) ** number) for number in range(1000)] + [Fraction(2)] * more
        assert sign_flip(values, max_work=0) == pytest.approx(sign_flip(values, max_work=10**9), rel=0.02)
    assert 0 <= sign_flip([Fraction(draw.choice([-1, 1, 2])) for _ in range(6000)]) < 1e-6


def test_holm_is_that_of_statsmodels():
    for n in [*range(1, 12)] * 5:
        p_values = [RANDOM.random() ** 4 for _ in range(n)]
        assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []
    assert holm([0.01, 0.01, 0.9]) == pytest.approx([0.03, 0.03, 0.9])


def test_the_bootstrap_is_scipys_and_the_same_each_time():
    draw = random.Random(2)
    values = [[draw.gauss(5, 2)] for _ in range(150)]
    theirs = scipy.stats.bootstrap(([value for (value,) in values],), np.mean, method="percentile", rng=1).confidence_interval
    ours = bootstrap(values, n_draws=9999)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_repeats_of_a_task_count_as_one_piece_of_evidence():
    draw = random.Random(3)
    right = [draw.random() < 0.5 for _ in range(100)]
    once, thrice = success([[one] for one in right]), success([[one] * 3 for one in right])
    assert thrice == pytest.approx(once, abs=0.02)
    theirs = scipy.stats.bootstrap((np.array(right, float),), np.mean, method="percentile", rng=1).confidence_interval
    assert thrice == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_clusters_of_unlike_sizes_are_weighed_by_their_values():
    draw = random.Random(4)
    clusters = [[float(draw.random() < 0.3) for _ in range(draw.randint(1, 4))] for _ in range(120)]
    sums, counts = np.array([sum(c) for c in clusters]), np.array([len(c) for c in clusters])
    theirs = scipy.stats.bootstrap((sums, counts), lambda s, c, axis: s.sum(axis=axis) / c.sum(axis=axis), paired=True,
                                   vectorized=True, method="percentile", rng=1).confidence_interval
    assert bootstrap(clusters, n_draws=9999) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_where_all_tasks_came_out_alike_no_certainty_is_claimed():
    assert success([[False] * 3] * 82) == wilson(0, 82)
    assert success([[True] * 3] * 82) == wilson(82, 82)
    assert success([[True]]) == wilson(1, 1)
    assert success([]) == (0, 1)
    high = wilson(0, 82).high
    assert difference([Fraction(0)] * 82, limit=1) == (-high, high)
    assert difference([Fraction(1)] * 82, limit=1) == (1 - high, 1)
    assert difference([], limit=1) == (-1, 1)


def test_a_difference_is_inside_its_interval_which_is_scipys():
    draw = random.Random(6)
    values = [Fraction(draw.choice([-1, 0, 0, 1, 1])) for _ in range(200)]
    theirs = scipy.stats.bootstrap(([float(v) for v in values],), np.mean, method="percentile", rng=1).confidence_interval
    low, high = difference(values, limit=1)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.015)
    assert low < sum(values) / 200 < high


def test_intervals_know_whether_they_overlap():
    assert Interval(0, 2).overlaps(Interval(1, 3))
    assert Interval(0, 1).overlaps(Interval(1, 2))
    assert not Interval(0, 1).overlaps(Interval(1.1, 2))
