"""The peers of the other tests: what is stored is found, isolated, kept and legible."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")

from pacs_peers import (
    Orthanc,
    archive,  # noqa: F401 (a fixture)
    chest,
    dicom_errors,
    echoscu,
    free_port,
    lossless,
    needs,
    network,  # noqa: F401 (a fixture)
    odd_chests,
    own_network,
    storescu,
    to_bytes,
    write_bundle_of_brightness,
)
from plainfilm.runtime import Predictor

pytestmark = [pytest.mark.slow]

NETWORK = Path("/proc/thread-self/ns/net")


def test_the_network_of_its_own_has_only_a_loopback_and_is_left_at_the_end() -> None:
    before = NETWORK.readlink()
    with own_network() as isolated:
        if not isolated:
            pytest.skip("the system does not allow a network namespace")
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        found: list[str] = []
        started = threading.Thread(target=lambda: found.append(NETWORK.readlink()))
        started.start()
        started.join()
        assert found == [NETWORK.readlink()] != [before]
    assert NETWORK.readlink() == before


@needs("Orthanc", "storescu", "dcmcjpeg", "echoscu")
def test_an_archive_keeps_what_it_received_when_it_is_restarted(
    archive: Orthanc,  # noqa: F811
    tmp_path: Path,
) -> None:
    assert echoscu(archive.port, called=archive.title)
    path = tmp_path / "film.dcm"
    path.write_bytes(lossless(to_bytes(chest("stored", seed=2))))
    assert storescu(archive.port, [path], "-xs", called=archive.title)[0] == 0
    archive.upload(to_bytes(chest("uploaded", study="stored")))
    archive.stop()
    assert not echoscu(archive.port, called=archive.title)
    archive.start()
    assert archive.wait(2) == 2
    found = archive.instances("DX")
    assert {tags["PatientID"] for tags in found.values()} == {"SYNTHETIC-stored"}
    assert len({tags["SOPInstanceUID"] for tags in found.values()}) == 2
    assert archive.preview(next(iter(found))).startswith(b"\x89PNG")
    archive.clear()
    assert archive.count() == 0


@needs("Orthanc")
def test_without_a_network_of_its_own_the_archive_admits_only_its_modalities(
    tmp_path: Path,
) -> None:
    with (
        own_network(),
        Orthanc(tmp_path, {"PLAINFILM": free_port()}, isolated=False) as strict,
    ):
        assert echoscu(strict.port, calling="PLAINFILM", called=strict.title)
        assert not echoscu(strict.port, calling="UNKNOWN", called=strict.title)


@needs("dciodvfy")
def test_the_drawn_files_are_valid_unless_an_attribute_is_odd(tmp_path: Path) -> None:
    files = odd_chests("ordinary", "no study ID", "Korean name")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert dicom_errors(tmp_path / "ordinary") == []
    assert dicom_errors(tmp_path / "Korean name") == []
    assert any("StudyID" in line for line in dicom_errors(tmp_path / "no study ID"))


def test_every_odd_file_has_identifiers_of_its_own() -> None:
    pydicom = pytest.importorskip("pydicom")
    files = odd_chests()
    assert len(set(files.values())) == len(files)
    assert pydicom.uid.UID(chest(1).SOPInstanceUID).is_valid


@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass"])
def test_the_bundle_has_a_map_for_each_label(kind: str, tmp_path: Path) -> None:
    labels = ("pneumonia",) if kind == "binary" else ("pneumonia", "effusion", "normal")
    predictor = Predictor(write_bundle_of_brightness(tmp_path / "bundle", labels, kind=kind))
    pixels = np.full((1, 32, 32), 200, np.uint8)
    maps = predictor.activation_maps(pixels)
    assert maps is not None
    assert maps.shape == (1, len(labels), 8, 8)
    assert predictor.probabilities(pixels)[0, 0] > 0.5
