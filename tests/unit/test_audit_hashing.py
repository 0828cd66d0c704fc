"""Tests that similar hashes are found, and that copies have similar hashes at any exposure."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.audit.clusters import connected_groups
from plainfilm.audit.evidence import downsample
from plainfilm.audit.hashing import close_pairs, hash_images, local_contrast, pack_bits


def brute_force(bits, radius):
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    first, second = np.nonzero(np.triu(distance <= radius, 1))
    return set(zip(first.tolist(), second.tolist(), strict=True))


def draw_bits(count, copies, errors, seed=0):
    rng = np.random.default_rng(seed)
    bits = rng.random((count, 64)) < 0.5
    originals, copied = np.arange(copies), np.arange(count - copies, count)
    bits[copied] = bits[originals] ^ (rng.random((copies, 64)) < errors)
    return bits


@pytest.mark.parametrize("errors", [0.0, 0.06, 0.12])
def test_close_pairs_agree_with_a_comparison_of_all_pairs(errors):
    bits = draw_bits(900, 60, errors)
    expected = brute_force(bits, 18)
    found = close_pairs(pack_bits(bits))
    assert (np.diff(found, axis=1) > 0).all()
    pairs = set(map(tuple, found.tolist()))
    assert len(pairs) == len(found)
    assert pairs <= expected, "every reported pair is close"
    near = brute_force(bits, 12)
    assert len(pairs & near) >= 0.99 * len(near)


@pytest.mark.parametrize("errors", [0.05, 0.15, 0.25])
def test_in_a_small_set_all_close_pairs_are_found(errors):
    bits = draw_bits(240, 60, errors)
    found = close_pairs(pack_bits(bits))
    assert set(map(tuple, found.tolist())) == brute_force(bits, 18)


def test_the_pairs_do_not_depend_on_the_size_of_blocks(monkeypatch):
    words = pack_bits(draw_bits(700, 60, 0.1))
    words[300:400] = words[300]  # more equal keys than a window
    expected = close_pairs(words, tables=20)
    for size in (50, 64, 100):
        monkeypatch.setattr("plainfilm.audit.hashing._BLOCK", size)
        assert np.array_equal(close_pairs(words, tables=20), expected)


def test_the_pairs_of_a_row_are_limited_and_connect_all_copies():
    words = np.zeros(500, np.uint64)
    pairs = close_pairs(words)
    assert np.bincount(pairs[:, 0]).max() <= 64
    assert connected_groups(map(tuple, pairs.tolist())) == (tuple(range(500)),)


def test_mirror_images_are_hashed_like_images(chests):
    small = downsample(chests, 32)
    both = hash_images(np.concatenate([small, small[:, :, ::-1]]))
    hashes = hash_images(small, mirrored=True)
    assert np.bitwise_count(both.words ^ hashes.words).max() <= 1
    assert np.allclose(both.vectors, hashes.vectors, atol=0.01)


def test_the_radius_is_respected():
    bits = np.zeros((2, 64), bool)
    bits[1, :9] = True
    assert close_pairs(pack_bits(bits), radius=9).tolist() == [[0, 1]]
    assert close_pairs(pack_bits(bits), radius=8).tolist() == []


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_have_no_pairs(count):
    assert close_pairs(pack_bits(np.zeros((count, 64), bool))).shape == (0, 2)


def test_many_equal_hashes_take_linear_time():
    bits = np.zeros((3000, 64), bool)
    pairs = close_pairs(pack_bits(bits), tables=4)
    assert 3000 <= len(pairs) < 3000 * 200


def test_few_bits_are_enough_for_a_small_set():
    bits = np.random.default_rng(0).random((40, 6)) < 0.5
    assert set(map(tuple, close_pairs(pack_bits(bits), 6, radius=0).tolist())) == brute_force(
        bits, 0
    )


def test_pairs_are_reproducible():
    bits = draw_bits(500, 40, 0.1)
    assert np.array_equal(
        close_pairs(pack_bits(bits), seed=3), close_pairs(pack_bits(bits), seed=3)
    )


def test_local_contrast_ignores_exposure():
    rng = np.random.default_rng(0)
    image = rng.integers(60, 120, (1, 32, 32)).astype(np.uint8)
    brighter = (image.astype(np.float32) * 1.5 + 40).astype(np.uint8)
    one, other = local_contrast(np.concatenate([image, brighter]), 3.0)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


def test_copies_have_similar_hashes_and_other_chests_do_not(chests):
    small = downsample(chests, 32).astype(np.float32)
    copies = np.clip(small * 0.8 + 30, 0, 255)
    hashes = hash_images(np.concatenate([small, copies]).astype(np.uint8))
    count = len(chests)
    differing = np.bitwise_count(hashes.words[:count, None] ^ hashes.words[None, count:])
    distance = differing / hashes.width
    own = np.diag(distance)
    others = distance[~np.eye(count, dtype=bool)]
    assert own.max() < 0.2
    assert abs(others.mean() - 0.5) < 0.05
    vectors = hashes.vectors.astype(np.float32)
    cosine = np.einsum("ij,ij->i", vectors[:count], vectors[count:])
    assert cosine.min() > 0.8


def test_random_rows_have_few_close_pairs():
    bits = np.random.default_rng(1).random((20000, 64)) < 0.5
    assert len(close_pairs(pack_bits(bits))) <= 3 * len(bits)
