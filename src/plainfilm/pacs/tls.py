"""TLS of the hospital network: at least version 1.2, and both sides show a certificate."""

from __future__ import annotations

import ssl

from plainfilm import _files
from plainfilm.errors import UsageError
from plainfilm.pacs.settings import TlsFiles


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that accepts clients with a certificate of the authority."""
    return _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that accepts servers with a certificate of the authority for their host."""
    return _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), files)


def _load(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    """Read the files; raise a UsageError that names the option."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_RENEGOTIATION  # a peer could use much CPU time with it
    for option, path in (("--tls-cert", files.certificate), ("--tls-key", files.key)):
        try:
            _files.read_regular(path, _files.MEBI)
        except OSError as error:
            raise _unusable(option, path, error) from None
    try:
        context.load_verify_locations(files.authority)
    except (OSError, ValueError) as error:
        raise _unusable("--tls-ca", files.authority, error) from None
    try:
        # A key with a password would ask for it at the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise _unusable("--tls-cert with --tls-key", files.certificate, error) from None
    return context


def _unusable(option: str, path: object, error: Exception) -> UsageError:
    """Return the error of a file that is no certificate."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    if reason is None:
        reason = _files.reason_of(error) if isinstance(error, OSError) else type(error).__name__
    return UsageError(
        f"{option} cannot be used",
        received=f"{path} ({reason})",
        remedy="use files in PEM format; the key must belong to the certificate and have no "
        "password",
    )
