"""Sends runs to an MLflow tracking server."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from plainfilm._optional import require
from plainfilm.errors import TrackingError, UsageError
from plainfilm.search.export import Export

Outcome = Literal["new", "updated", "unchanged"]

_RUN, _CONTENT = "plainfilm.run", "plainfilm.content"  # tags
_BATCH = {"metrics": 1000, "params": 100}  # limits of the server
_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


class MlflowTracker:
    """An experiment of a tracking server.

    Parameters
    ----------
    uri
        Address of the server, such as ``http://127.0.0.1:5000``; None is MLFLOW_TRACKING_URI.
    experiment
        Name of the experiment; it is created if there is none.

    Raises
    ------
    UsageError
        If no server is named.
    TrackingError
        If the server does not answer, or refuses the experiment.
    """

    def __init__(self, uri: str | None, experiment: str) -> None:
        uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            raise UsageError(
                "no tracking server is named",
                remedy="give its address with uri=, or set MLFLOW_TRACKING_URI",
            )
        _check_server(uri)
        # MLflow sends statistics of its use to its makers, and asks an absent server for minutes.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        self._mlflow = require("mlflow", "mlflow")
        self._uri = uri
        with _Explained(self._mlflow, uri):
            self._client = self._mlflow.MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = (
                self._client.create_experiment(experiment) if found is None else found.experiment_id
            )

    def send(self, export: Export) -> Outcome:
        """Send a run, or what the tracker's run does not have yet.

        Raises
        ------
        TrackingError
            If the server does not answer or refuses it.
        """
        with _Explained(self._mlflow, self._uri):
            query = f"tags.`{_RUN}` = '{export.id}'"
            found = self._client.search_runs([self._experiment], query, max_results=1)
            if found and found[0].data.tags.get(_CONTENT) == export.content:
                return "unchanged"
            if found:
                run = found[0]
            else:
                tags = {_RUN: export.id}
                run = self._client.create_run(self._experiment, tags=tags, run_name=export.name)
            self._complete(run, export)
            return "updated" if found else "new"

    def _complete(self, run: Any, export: Export) -> None:
        client, own, entities = self._client, run.info.run_id, self._mlflow.entities
        metrics: list[Any] = [
            entities.Metric(name, value, run.info.start_time, step)
            for name, step, value in self._missing(run, export)
        ]
        params: list[Any] = [
            entities.Param(_allowed(key), value)
            for key, value in export.params.items()
            if _allowed(key) not in run.data.params
        ]
        for kind, values in (("metrics", metrics), ("params", params)):
            for start in range(0, len(values), _BATCH[kind]):
                client.log_batch(own, **{kind: values[start : start + _BATCH[kind]]})
        for name, path in export.artifacts.items():
            above = PurePosixPath(name).parent
            client.log_artifact(own, str(path), None if above == PurePosixPath() else str(above))
        client.set_tag(own, _CONTENT, export.content)
        client.set_terminated(own)

    def _missing(self, run: Any, export: Export) -> Iterator[tuple[str, int, float]]:
        """Yield the values that the tracker's run does not have."""
        for name, series in export.series.items():
            key = _allowed(name)
            known: set[tuple[int, float]] = set()
            if key in run.data.metrics:
                history = self._client.get_metric_history(run.info.run_id, key)
                known = {(one.step, one.value) for one in history}
            yield from ((key, step, value) for step, value in series if (step, value) not in known)


class _Explained:
    """Converts errors of MLflow to a `TrackingError`."""

    def __init__(self, mlflow: Any, uri: str) -> None:
        self._mlflow, self._uri = mlflow, uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: object) -> None:
        others = (OSError, ImportError)
        if kind is None or not issubclass(kind, (self._mlflow.MlflowException, *others)):
            return
        raise TrackingError(
            f"the tracker {_without_password(self._uri)} cannot be used",
            received=str(error).splitlines()[0][:300] if str(error) else kind.__name__,
            remedy="give the address of a running MLflow server, such as http://127.0.0.1:5000; "
            "a database file needs the package mlflow, not only its client",
        ) from error


def _check_server(uri: str) -> None:
    """Raise a TrackingError unless something listens at the address of a server."""
    parts = urlsplit(uri)
    if parts.scheme not in _PORTS:
        return
    try:
        port = parts.port or _PORTS[parts.scheme]
        socket.create_connection((parts.hostname or "", port), timeout=_SECONDS).close()
    except (OSError, ValueError) as error:
        raise TrackingError(
            f"the tracking server {_without_password(uri)} does not answer",
            received=getattr(error, "strerror", None) or str(error),
            remedy="start it, or check the address",
        ) from error


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)


def _allowed(name: str) -> str:
    """Return a name of the letters that MLflow allows."""
    return re.sub(r"[^\w\-. /]", "_", name)
