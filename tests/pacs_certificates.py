"""Certificates for the tests of encrypted connections."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificates(folder: Path) -> dict[str, Path]:
    """Make an authority, and certificates of it and of another one."""

    def openssl(*arguments: object) -> None:
        command = ["openssl", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name in ("authority", "outsider"):
        openssl(
            "req",
            "-x509",
            *curve,
            "-subj",
            f"/CN={name}",
            "-keyout",
            folder / f"{name}.key",
            "-out",
            folder / f"{name}.pem",
        )
    for name, authority in (
        ("server", "authority"),
        ("client", "authority"),
        ("other", "outsider"),
    ):
        extension = folder / f"{name}.ext"
        extension.write_text("subjectAltName=IP:127.0.0.1")
        openssl(
            "req",
            *curve[:-2],
            "-subj",
            f"/CN={name}",
            "-keyout",
            folder / f"{name}.key",
            "-out",
            folder / f"{name}.csr",
        )
        openssl(
            "x509",
            "-req",
            "-in",
            folder / f"{name}.csr",
            "-CA",
            folder / f"{authority}.pem",
            "-CAkey",
            folder / f"{authority}.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            extension,
            "-out",
            folder / f"{name}.pem",
        )
    return {path.name: path for path in folder.iterdir()}
