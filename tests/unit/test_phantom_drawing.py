"""Drawn radiographs are reproducible and have the statistics and anatomy of radiographs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from plainfilm.errors import UsageError
from plainfilm.phantom import draw, sample_patient
from plainfilm.phantom.anatomy import sample_pose
from plainfilm.phantom.film import cloud
from plainfilm.phantom.projection import along, make_plane, ramp, tube


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(list(seed))


@pytest.fixture(scope="module")
def healthy() -> np.ndarray:
    return np.stack([draw(rng(1, i), size=96) for i in range(60)])


def test_same_seed_same_pixels_and_other_seed_other_pixels():
    first = draw(rng(3), size=(64, 80), pneumonia="lobar")
    assert np.array_equal(first, draw(rng(3), size=(64, 80), pneumonia="lobar"))
    assert not np.array_equal(first, draw(rng(4), size=(64, 80), pneumonia="lobar"))


@pytest.mark.parametrize(
    ("size", "shape"), [(16, (16, 16)), ((40, 90), (40, 90)), ((200, 97), (200, 97))]
)
@pytest.mark.parametrize("pneumonia", [None, "lobar", "patchy"])
def test_any_size_is_drawn(size, shape, pneumonia):
    picture = draw(rng(5), size=size, pneumonia=pneumonia)
    assert picture.shape == shape
    assert picture.dtype == np.uint8
    assert picture.std() > 10


@pytest.mark.parametrize(
    "arguments",
    [{"size": 8}, {"size": (64, 9000)}, {"pneumonia": "viral"}, {"subtlety": 1.5}],
)
def test_invalid_arguments_are_errors(arguments):
    with pytest.raises(UsageError):
        draw(rng(0), **arguments)


def test_statistics_are_those_of_a_radiograph(healthy):
    means = healthy.mean(axis=(1, 2))
    assert 50 < np.median(means) < 150
    assert (healthy.std(axis=(1, 2)) > 25).all()
    # Most of the image is neither black nor white.
    assert ((healthy >= 250).mean(axis=(1, 2)) < 0.15).all()
    assert (np.mean((healthy > 5) & (healthy < 250), axis=(1, 2)) > 0.5).all()


def test_lungs_are_dark_and_the_heart_is_on_the_right(healthy):
    mean = healthy.mean(axis=0)
    right_lung, left_lung = mean[35:55, 20:34].mean(), mean[25:42, 62:76].mean()
    middle = mean[45:60, 44:52].mean()
    assert middle > right_lung + 40
    assert middle > left_lung + 40
    # The apex of the heart is brighter than the mirrored position.
    assert mean[52:60, 58:66].mean() > mean[52:60, 30:38].mean() + 10
    # The abdomen is bright, the corners next to the neck are dark.
    assert mean[84:94, 38:58].mean() > right_lung + 30
    assert mean[:6, :12].mean() < 40


def test_detail_is_smooth_but_not_blurred(healthy):
    # Neighbouring pixels of radiographs are similar, but differ by texture.
    steps = np.abs(np.diff(healthy.astype(int), axis=2))
    assert 1.0 < steps.mean() < 12.0


@pytest.mark.parametrize("pneumonia", ["lobar", "patchy"])
def test_pneumonia_brightens_lung_and_less_so_when_subtle(pneumonia):
    gains = []
    for subtlety in (0.0, 0.5, 1.0):
        total = 0.0
        for i in range(8):
            # Patient, pose and exposure are equal, except for random draws of the disease.
            patient = sample_patient(rng(7, i))
            sick = draw(rng(8, i), size=96, patient=patient, pneumonia=pneumonia, subtlety=subtlety)
            well = draw(rng(8, i), size=96, patient=patient)
            total += float(np.mean(sick[30:70, 15:80].astype(int) - well[30:70, 15:80]))
        gains.append(total)
    assert gains[0] > gains[1] > gains[2]
    assert gains[0] > 8 * 2.0


def test_a_patient_is_recognisable_in_another_pose():
    # The anatomy belongs to the patient and not to the image.
    patient = sample_patient(rng(11))
    assert patient == sample_patient(rng(11))
    first, second = (sample_pose(rng(12, i), patient) for i in range(2))
    assert first != second
    pictures = [draw(rng(12, i), size=64, patient=patient) for i in range(2)]
    assert not np.array_equal(*pictures)


def test_patients_differ_within_bounds():
    patients = [sample_patient(rng(13, i)) for i in range(200)]
    assert len({p.seed for p in patients}) == 200
    assert {p.sex for p in patients} == {"F", "M"}
    assert min(p.age for p in patients) >= 1
    assert max(p.age for p in patients) <= 90
    assert all(p.breast == 0 for p in patients if p.age < 15 or p.sex == "M")


@pytest.mark.parametrize("seed", range(5))
def test_locate_is_the_inverse_of_the_grid(seed):
    patient = sample_patient(rng(14, seed))
    plane = make_plane(sample_pose(rng(15, seed), patient), 120, 150)
    rows, columns = np.array([10, 60, 110, 75]), np.array([20, 75, 140, 33])
    points = np.stack([plane.x[rows, columns], plane.y[rows, columns]], axis=1)
    found = plane.locate(points)
    # The tilt is inverted to first order: less than two pixels of 120 at the edge.
    assert np.abs(found - np.stack([columns + 0.5, rows + 0.5], axis=1)).max() < 2.0


def test_along_interpolates_like_numpy():
    profile = sample_patient(rng(16)).cage()
    y = rng(17).uniform(-1.5, 1.5, (20, 30)).astype(np.float32)
    assert along(profile, y) == pytest.approx(np.interp(y, *profile), abs=1e-4)


def test_shapes_of_edges():
    t = np.linspace(-3, 3, 601, dtype=np.float32)
    edge = ramp(t, 0.5)
    assert edge[0] == 0.0
    assert edge[-1] == 1.0
    assert edge[300] == pytest.approx(0.5, abs=1e-3)
    assert (np.diff(edge) >= 0).all()
    bone = tube(t)
    # A hollow bone is brightest at its walls.
    assert bone[300] < bone[300 + 78]
    assert bone[np.abs(t) > 1].max() == 0.0


@pytest.mark.parametrize("grain", [1.0, 4.0, 11.0])
def test_cloud_has_zero_mean_unit_variance_and_its_grain(grain):
    fields = np.stack([cloud(rng(18, i), (180, 220), grain) for i in range(12)]).astype(float)
    assert abs(fields.mean()) < 0.1
    assert fields.std() == pytest.approx(1.0, abs=0.1)
    # White noise smoothed by a Gaussian of deviation s correlates as exp(-d**2 / (4 s**2)).
    lag = round(2 * grain)
    correlation = np.mean(fields[..., lag:] * fields[..., :-lag]) / fields.var()
    assert correlation == pytest.approx(np.exp(-(lag**2) / (4 * grain**2)), abs=0.08)


def test_brightness_does_not_identify_the_class():
    well = [draw(rng(20, i), size=48) for i in range(120)]
    sick = [
        draw(rng(21, i), size=48, pneumonia=("lobar", "patchy")[i % 2], subtlety=i / 120)
        for i in range(120)
    ]
    for statistic in (np.mean, np.std, lambda p: np.mean(np.r_[p[0], p[-1], p[:, 0], p[:, -1]])):
        a, b = [statistic(p) for p in well], [statistic(p) for p in sick]
        auc = mannwhitneyu(a, b).statistic / (len(a) * len(b))
        assert 0.25 < auc < 0.75
