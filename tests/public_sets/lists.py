"""Copies of sets with one class for each image: lists without a header, and folders."""

from __future__ import annotations

from pathlib import Path

from public_sets.images import write_images, write_lines


def covidx(root: Path) -> Path:
    """COVIDx: lists of patient, file, class and source, without a header, separated by spaces.

    One name has a space, so its row has too many cells. One file is missing.
    """
    train = [
        "3 cohen-day0.jpeg positive cohen",
        "3 cohen-day5.jpeg positive cohen",
        "COVID-19(69) COVID-19(69).png positive sirm",
        "419639-000025 MIDRC-RICORD-1C-419639-000025-56001-0.png positive ricord",
        "419639-000025 MIDRC-RICORD-1C-419639-000025-56001-1.png positive ricord",
        "47c78742-4998 47c78742-4998.png negative rsna",
        "8989e25c-a698 8989e25c-a698.png negative rsna",
        "7fb3786c-5045 7fb3786c-5045.png negative rsna",
        "766b8aea-3b43 766b8aea-3b43.png negative rsna",  # missing
        "COVID-00012 figure 1.jpg positive fig1",
    ]
    test = [
        "419639-000099 MIDRC-RICORD-1C-419639-000099-78965-0.png positive ricord",
        "COVID-19(70) COVID-19(70).png positive sirm",
        "f6236cb5-cc36 f6236cb5-cc36.png negative rsna",
        "153b7c2b-4909 153b7c2b-4909.png negative rsna",
    ]
    folder = root / "covidx"
    for split, rows in {"train": train, "test": test}.items():
        write_lines(folder / f"{split}.txt", *rows)
        names = (row.partition(" ")[2].rsplit(" ", 2)[0] for row in rows)
        write_images(folder / split, (name for name in names if not name.startswith("766b8aea")))
    return folder


def kermany(root: Path) -> Path:
    """Guangzhou paediatric set: class folders in three splits, and the whole again inside."""
    files = {
        "train/NORMAL": (
            *("IM-0115-0001.jpeg", "IM-0117-0001.jpeg"),
            *("NORMAL2-IM-1001-0001.jpeg", "NORMAL2-IM-1001-0002.jpeg"),
        ),
        "train/PNEUMONIA": (
            *("person1_bacteria_1.jpeg", "person1_bacteria_2.jpeg", "person2_bacteria_3.jpeg"),
            *("person1_virus_6.jpeg", "person3_virus_15.jpeg", "person3_virus_16.jpeg"),
        ),
        "val/NORMAL": ("NORMAL2-IM-1427-0001.jpeg",),
        "val/PNEUMONIA": ("person1946_bacteria_4874.jpeg",),
        "test/NORMAL": ("IM-0001-0001.jpeg", "NORMAL2-IM-0052-0001.jpeg"),
        "test/PNEUMONIA": (
            *("person100_bacteria_475.jpeg", "person100_bacteria_477.jpeg"),
            "person51_virus_105.jpeg",
        ),
    }
    folder = root / "chest_xray"
    for place, names in files.items():
        for copy in (folder, folder / "chest_xray"):
            write_images(copy / place, names)
        write_lines(folder / "__MACOSX" / place / "._IM-0001-0001.jpeg", "resource fork")
        write_lines(folder / place / ".DS_Store", "")
    return folder
