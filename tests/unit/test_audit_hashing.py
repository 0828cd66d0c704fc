"""Close pairs are found, whatever their number; copies hash alike, and exposure does not matter."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.audit.evidence import shrink
from plainfilm.audit.hashing import close_pairs, hash_pictures, local_contrast


def brute_force(bits, radius):
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    first, second = np.nonzero(np.triu(apart <= radius, 1))
    return set(zip(first.tolist(), second.tolist(), strict=True))


def draw_bits(count, copies, errors, seed=0):
    rng = np.random.default_rng(seed)
    bits = rng.random((count, 64)) < 0.5
    ours, theirs = np.arange(copies), np.arange(count - copies, count)
    bits[theirs] = bits[ours] ^ (rng.random((copies, 64)) < errors)
    return bits


@pytest.mark.parametrize("errors", [0.0, 0.06, 0.12])
def test_close_pairs_are_those_of_a_comparison_of_all_with_all(errors):
    bits = draw_bits(900, 60, errors)
    truth = brute_force(bits, 18)
    found = close_pairs(bits)
    assert (np.diff(found, axis=1) > 0).all()
    told = set(map(tuple, found.tolist()))
    assert len(told) == len(found)
    assert told <= truth, "every pair told is close"
    near = brute_force(bits, 12)
    assert len(told & near) >= 0.99 * len(near)


def test_the_radius_is_held():
    bits = np.zeros((2, 64), bool)
    bits[1, :9] = True
    assert close_pairs(bits, radius=9).tolist() == [[0, 1]]
    assert close_pairs(bits, radius=8).tolist() == []


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_has_no_pairs(count):
    assert close_pairs(np.zeros((count, 64), bool)).shape == (0, 2)


def test_a_crowd_of_equal_hashes_stays_linear():
    bits = np.zeros((3000, 64), bool)
    pairs = close_pairs(bits, tables=4)
    assert 3000 <= len(pairs) < 3000 * 200


def test_few_bits_are_enough_for_a_small_set():
    bits = np.random.default_rng(0).random((40, 6)) < 0.5
    told = set(map(tuple, close_pairs(bits, radius=0).tolist()))
    assert told == brute_force(bits, 0)


def test_pairs_do_not_depend_on_chance():
    bits = draw_bits(500, 40, 0.1)
    assert np.array_equal(close_pairs(bits, seed=3), close_pairs(bits, seed=3))


def test_local_contrast_knows_no_exposure():
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 120, (1, 32, 32)).astype(np.uint8)
    brighter = (picture.astype(np.float32) * 1.5 + 40).astype(np.uint8)
    one, other = local_contrast(np.concatenate([picture, brighter]), 3.0)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


def test_copies_hash_alike_and_other_chests_do_not(chests):
    small = shrink(chests, 32).astype(np.float32)
    copies = np.clip(small * 0.8 + 30, 0, 255)
    hashes = hash_pictures(np.concatenate([small, copies]).astype(np.uint8))
    count = len(chests)
    apart = (hashes.bits[:count, None] != hashes.bits[None, count:]).mean(axis=2)
    own = np.diag(apart)
    others = apart[~np.eye(count, dtype=bool)]
    assert own.max() < 0.2
    assert abs(others.mean() - 0.5) < 0.05
    cosine = np.einsum("ij,ij->i", hashes.places[:count], hashes.places[count:])
    assert cosine.min() > 0.8


def test_many_rows_are_close_only_where_chance_would_not_have_it():
    bits = np.random.default_rng(1).random((20000, 64)) < 0.5
    assert len(close_pairs(bits)) <= 3 * len(bits)
