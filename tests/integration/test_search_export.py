"""Runs in experiment trackers: what is sent, once, and never an image."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import onnx_networks
from plainfilm.cli.main import main
from plainfilm.data import Manifest
from plainfilm.errors import RunError, StorageError, TrackingError
from plainfilm.evaluation import evaluate
from plainfilm.report import write_report
from plainfilm.search.export import Export, find_runs, gather_run
from plainfilm.search.to_tensorboard import write_events
from plainfilm.training import Run, open_run, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train a probe, evaluate it and write its report, which shows images."""
    folder = tmp_path_factory.mktemp("export")
    encoder = onnx_networks.encoder(folder / "small.onnx")
    settings = [
        f"network.encoder='{encoder}'",
        "network.options={value_range=[0, 1], trained_on=['CheXpert']}",
        "input.size=32",
        "fit.epochs=1",
    ]
    made = train(manifest, out=folder / "first", recipe="probe", settings=settings, workers=0)
    evaluation = evaluate(made.folder, robustness=False, workers=0)
    write_report(evaluation, model=made.folder, run=made)
    # A probe has no epochs.
    lines = [
        "epoch,loss,accuracy,val_loss,val_accuracy,val_auroc,learning_rate,seconds",
        "1,0.5,0.7,0.6,0.65,,0.01,3",
        "2,0.4,0.8,0.5,0.75,0.9,0.005,6",
    ]
    (made.folder / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


@pytest.fixture(autouse=True)
def unchanged(run: Run) -> Iterator[None]:
    """Check that nothing is written to the run."""

    def state() -> list[tuple[str, int]]:
        files = (path for path in run.folder.rglob("*") if path.is_file())
        return sorted((str(path), path.stat().st_mtime_ns) for path in files)

    before = state()
    yield
    assert state() == before


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a store of MLflow without a server, which newer versions have for old data only."""
    pytest.importorskip("mlflow")
    for name, value in (("ALLOW_FILE_STORE", "true"), ("DISABLE_TELEMETRY", "true")):
        monkeypatch.setenv(f"MLFLOW_{name}", value)
    return (tmp_path / "store").as_uri()


def test_settings_epochs_and_metrics_with_intervals_are_gathered(run: Run) -> None:
    found = gather_run(run.folder)
    document = json.loads((run.folder / "evaluation/evaluation.json").read_text("utf-8"))

    assert found.id == run.bundle.id
    assert found.params["recipe.input.size"] == "32"
    assert found.params["recipe.network.encoder"] == "small.onnx"
    assert found.params["seed"] == "0"
    assert found.series["training/loss"] == ((1, 0.5), (2, 0.4))
    assert found.series["validation/auroc"] == ((2, 0.9),)
    auroc = document["metrics"]["auroc"]
    for end, key in (("", "value"), (".low", "low"), (".high", "high")):
        assert found.series[f"evaluation/auroc{end}"] == ((0, auroc[key]),)
    assert all(math.isfinite(v) for own in found.series.values() for _, v in own)


def test_neither_images_nor_names_of_files_are_sent(run: Run) -> None:
    found = gather_run(run.folder)
    figures = run.folder / "evaluation" / "figures"
    sheets = {path.name for path in figures.glob("*.png")} - {
        path.with_suffix(".png").name for path in figures.glob("*.svg")
    }
    assert sheets >= {"samples.png", "augmented.png"}

    sent = {path.name for path in found.artifacts.values()}
    assert {"plan.json", "history.csv", "MODEL_CARD.md", "roc.png", "calibration.png"} <= sent
    assert not sent & {*sheets, "report.html", "left_out.csv", "evaluation.json"}
    names = [Path(record.id).name.encode() for record in run.manifest.records]
    folder = str(run.folder.parent).encode()
    for path in found.artifacts.values():
        data = path.read_bytes()
        assert folder not in data
        assert not any(name in data for name in names), path
    assert not any(str(run.folder.parent) in value for value in found.params.values())
    assert "evaluation/report.html" in gather_run(run.folder, report=True).artifacts


def test_mlflow_has_a_run_once_and_receives_what_was_missing(
    run: Run, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    arguments = ["log", str(run.folder), "--to", "mlflow", "--uri", store]
    assert main(arguments) == 0
    assert "first: new" in capsys.readouterr().out
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("plainfilm").experiment_id
    [own] = client.search_runs([experiment])
    export = gather_run(run.folder)

    assert own.info.run_name == "first"
    assert own.data.params == export.params
    for name, series in export.series.items():
        history = client.get_metric_history(own.info.run_id, name)
        assert sorted((one.step, one.value) for one in history) == sorted(series)
    place = Path(own.info.artifact_uri.removeprefix("file://"))
    for name, path in export.artifacts.items():
        assert (place / name).read_bytes() == path.read_bytes()

    assert main(arguments) == 0
    assert "first: unchanged" in capsys.readouterr().out
    # As if the first call had been killed before its end.
    client.delete_tag(own.info.run_id, "plainfilm.content")
    assert main(arguments) == 0
    assert "first: updated" in capsys.readouterr().out
    [again] = client.search_runs([experiment])
    assert len(client.get_metric_history(again.info.run_id, "training/loss")) == 2
    assert again.info.status == "FINISHED"


def read_events(path: Path) -> dict[str, dict[int, float]]:
    """Return the scalars of an event file, read record by record."""
    from tensorboardX.proto.event_pb2 import Event

    data, found = io.BytesIO(path.read_bytes()), dict[str, dict[int, float]]()
    while head := data.read(12):
        event = Event.FromString(data.read(int.from_bytes(head[:8], "little")))
        data.read(4)
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, {})[event.step] = value.simple_value
            else:
                found.setdefault(value.tag, {})
    return found


def test_event_files_of_tensorboard_have_the_same_values(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboardX")
    arguments = ["log", str(run.folder), "--to", "tensorboard", "--out", str(tmp_path / "events")]
    assert main(arguments) == 0
    [events] = (tmp_path / "events").rglob("*tfevents*")
    before = hashlib.sha256(events.read_bytes()).hexdigest()
    assert main(arguments) == 0
    assert "unchanged" in capsys.readouterr().out.splitlines()[1]

    assert hashlib.sha256(events.read_bytes()).hexdigest() == before
    assert socket.gethostname() not in events.name.split(".")
    found = read_events(events)
    for name, series in gather_run(run.folder).series.items():
        assert found[name] == pytest.approx(dict(series))
    assert {"evaluation/figures/roc", "parameters/text_summary"} <= {*found}
    (events.parent / "plainfilm.json").write_text("{", encoding="utf-8")  # it was interrupted
    assert main(arguments) == 0
    assert len([*(tmp_path / "events").rglob("*tfevents*")]) == 1
    assert not [*(tmp_path / "events").rglob(".*")]


def test_only_finished_runs_are_found_in_a_folder_of_several(run: Run, tmp_path: Path) -> None:
    assert find_runs([run.folder]) == [run.folder]
    assert find_runs([run.folder.parent]) == [run.folder]
    with pytest.raises(RunError, match="no finished run"):
        find_runs([tmp_path])
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "plan.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="1 unfinished"):
        find_runs([tmp_path])
    assert open_run(run.folder).bundle.id == run.bundle.id


class Refusing(BaseHTTPRequestHandler):
    """A server that refuses every request."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no")

    def log_message(self, *_: Any) -> None: ...


def test_a_server_that_is_absent_or_refuses_is_reported(
    run: Run, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from plainfilm.search.to_mlflow import MlflowTracker

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TrackingError, match="does not answer") as error:
        MlflowTracker(f"http://me:secret@127.0.0.1:{port}", "x")
    assert "secret" not in str(error.value)
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(TrackingError, match="cannot be used") as error:
        MlflowTracker(f"http://127.0.0.1:{server.server_port}", "x")
    server.shutdown()
    server.server_close()
    assert "403" in str(error.value)

    # The client alone has no such store.
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    assert main(["log", str(run.folder), "--to", "mlflow", "--uri", store]) == 1
    assert "running MLflow server" in capsys.readouterr().err
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(["log", str(run.folder), "--to", "mlflow"]) == 2
    assert "--uri" in capsys.readouterr().err
    assert main(["log", str(run.folder), "--to", "tensorboard"]) == 2
    assert "add --out" in capsys.readouterr().err
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_full_disk_and_a_damaged_history_are_reported(run: Run, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    pytest.importorskip("tensorboardX")
    text = "x" * 20_000
    export = Export("0" * 64, "run", {"key": text}, {"loss": ((0, 1.0),)}, {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))  # as if the disk were full
    try:
        with pytest.raises(StorageError):
            write_events(export, tmp_path / "events")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in (tmp_path / "events").rglob("*") if path.is_file()]
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "history.csv").write_text("x", encoding="utf-8")
    with pytest.raises(RunError, match=r"history.csv is damaged"):
        gather_run(tmp_path / "run")
