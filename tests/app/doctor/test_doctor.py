"""`python -m app doctor`: what would run where, and what is missing; 0 if it can run, else 1."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.__main__ import ServeOptions, main
from app.__main__ import read_options as read_app_options
from app.api.main import create_app
from app.doctor.models import PROCESS_BYTES
from app.doctor.report import Finding, Report, command, in_bytes
from indexer.cli import main as index
from indexer.cli import read_options
from indexer.gallery.settings import GallerySettings
from indexer.pipeline.options import BuildOptions
from models.presets import load_preset
from tests.app.api.stub_reranker import MODEL, stub_reranker
from tests.app.api.stub_worker import free_port
from tests.conftest import BuiltGallery
from tests.damage import rewrite_metadata, spec_file, truncate
from tests.models.encoder.test_encoder import tiny_model
from tests.paths import ROOT

Findings = list[dict[str, str]]
Doctor = Callable[..., tuple[int, Findings]]


@pytest.fixture
def doctor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Doctor:
    """Run the doctor in this process; gives its exit code and findings."""
    monkeypatch.setenv("CIR_API__GALLERY__PATH", str(tmp_path / "qdrant"))

    def run(*arguments: str, **environ: str) -> tuple[int, Findings]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", "--json", "--port", str(free_port()), *arguments])
        report = json.loads(capsys.readouterr().out)
        assert report["can_run"] == (code == 0)
        return code, report["findings"]

    return run


def errors(findings: Findings) -> str:
    return "\n".join(f["text"] for f in findings if f["mark"] == "error")


def about(findings: Findings, area: str) -> str:
    return "\n".join(f["text"] for f in findings if f["area"] == area)


def test_the_demo_can_run(
    doctor: Doctor, built_gallery: BuiltGallery, copied_gallery: Path
) -> None:
    code, findings = doctor(
        CIR_API__GALLERY__PATH=str(copied_gallery),
        CIR_API__IMAGE_STORE=str(built_gallery.image_store),
    )
    assert code == 0, errors(findings)
    assert {f["mark"] for f in findings if f["area"] != "packages"} == {"ok"}
    assert "built with this encoder, demo-" in about(findings, "gallery")
    assert "has the copies of the images looked at" in about(findings, "images")
    assert "would run on CPU with" in about(findings, "reranker")
    assert "its files are here" in about(findings, "reranker")


def test_nothing_is_made_where_there_is_no_gallery(doctor: Doctor, tmp_path: Path) -> None:
    code, findings = doctor()
    assert code == 0
    assert "there is none in the folder" in about(findings, "gallery")
    assert not (tmp_path / "qdrant").exists()


def test_copies_that_are_gone_or_no_pictures(
    doctor: Doctor, built_gallery: BuiltGallery, copied_gallery: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(built_gallery.image_store, images)
    gone, garbage = sorted(images.rglob("*.448.jpg"))[:2]
    gone.unlink()
    garbage.write_bytes(b"garbage" * 1000)
    settings = {
        "CIR_API__GALLERY__PATH": str(copied_gallery),
        "CIR_API__IMAGE_STORE": str(images),
    }
    code, findings = doctor(**settings)
    assert code == 0
    said = about(findings, "images")
    assert f"lacks copies of 1 of {built_gallery.report.indexed} images looked at, e.g. " in said
    assert f"has damaged copies of 1 of {built_gallery.report.indexed} images" in said
    for path in images.rglob("*.448.jpg"):
        path.write_bytes(b"\xff\xd8\xff" + b"x" * 2000 + b"\xff\xd9")  # only decoding tells
    assert f"has damaged copies of 20 of {built_gallery.report.indexed} images" in about(
        doctor(**settings)[1], "images"
    )


def test_a_gallery_that_is_written_to_can_be_looked_into(
    doctor: Doctor, copied_gallery: Path
) -> None:
    from indexer.gallery import open_writer
    from indexer.gallery.settings import GalleryWriterSettings

    holder = open_writer(GalleryWriterSettings(path=copied_gallery))
    try:
        code, findings = doctor(CIR_API__GALLERY__PATH=str(copied_gallery))
    finally:
        holder.close()
    assert code == 0
    assert f"images in the folder {copied_gallery}, built " in about(findings, "gallery")


def test_a_damaged_gallery_is_said_by_all_who_open_it(
    doctor: Doctor, copied_gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    truncate(spec_file(copied_gallery))
    where = f"the embedded gallery in {copied_gallery} is damaged (spec.json: JSONDecodeError"
    code, findings = doctor(CIR_API__GALLERY__PATH=str(copied_gallery))
    assert code == 1
    assert where in errors(findings)
    with TestClient(create_app()) as api:
        refused = api.get("/readyz")
        assert refused.status_code == 503
        assert where in refused.json()["reasons"][0]
    monkeypatch.setenv("CIR_INDEXER__GALLERY__PATH", str(copied_gallery))
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    assert index(["build", "--images", str(tmp_path)]) == 0, "a build does not mend it"
    capsys.readouterr()
    assert about(doctor(CIR_API__GALLERY__PATH=str(copied_gallery))[1], "gallery").startswith("1 ")


def test_a_gallery_of_another_version_or_without_images(
    doctor: Doctor, copied_gallery: Path
) -> None:
    there = GallerySettings(path=copied_gallery)
    rewrite_metadata(there, schema_version=99)
    code, findings = doctor(CIR_API__GALLERY__PATH=str(copied_gallery))
    assert code == 1
    assert "what this version does not store (schema_version: Input should be 1 or 2)" in errors(
        findings
    )
    rewrite_metadata(there, schema_version=1)
    segments = next(copied_gallery.glob("*/*/shard/segments"))
    shutil.rmtree(segments)
    segments.mkdir()
    code, findings = doctor(CIR_API__GALLERY__PATH=str(copied_gallery))
    assert code == 1
    assert f"the one in the folder {copied_gallery} has lost its images" in errors(findings)


@pytest.mark.parametrize("name", ["base", "large", "fast"])
def test_presets_of_the_hub_offline(name: str, tmp_path: Path) -> None:
    """A process of its own: the hub's client reads its settings when it is imported."""
    command = [sys.executable, "-m", "app", "doctor", "--preset", name, "--port", str(free_port())]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    said = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert said.returncode == 1
    preset = load_preset(name)
    assert f"ok    preset    {name}: {preset.description}" in said.stdout
    assert "HF_HUB_OFFLINE is set and it is not in the cache" in said.stdout
    assert preset.needs is not None
    assert f"(about {in_bytes(preset.needs.encoder.download_bytes)})" in said.stdout
    assert "it cannot run" in said.stdout
    assert "Traceback" not in said.stderr
    if name == "fast":
        assert "the preset 'fast' has none: no re-ranking" in said.stdout
    else:
        assert f"CIR_API__PRESET={name} python -m app --no-worker" in said.stdout
    assert f"CIR_INDEXER__PRESET={name} python -m indexer build --images FOLDER" in said.stdout


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"CIR_API__ENCODER__MODEL": "ViT-B32"}, "no encoder 'ViT-B32'; the nearest are ViT-B-32"),
        (
            {"CIR_API__PRESET": "base", "CIR_API__ENCODER__PRETRAINED": "laion2b_e61"},
            "'laion2b_e61' is neither a pretrained tag of the encoder 'ViT-B-32' nor",
        ),
        ({"CIR_API__PRESET": "huge"}, "unknown preset 'huge'; there are: base"),
        ({"CIR_API__TYPO": "1"}, "unknown settings: CIR_API__TYPO"),
        (
            {"CIR_WORKER__RERANKER__ADAPTER": "/nowhere"},
            "the reranker's adapter '/nowhere' is neither",
        ),
        ({"CIR_WORKER__RERANKER__BASE": "/nowhere"}, "the reranker's base '/nowhere' is neither"),
    ],
)
def test_what_is_wrong_is_said(doctor: Doctor, environ: dict[str, str], sentence: str) -> None:
    code, findings = doctor(**environ)
    assert code == 1
    assert sentence in errors(findings)


def test_an_adapter_for_another_base(doctor: Doctor, foreign_adapter: Path) -> None:
    code, findings = doctor(CIR_WORKER__RERANKER__ADAPTER=str(foreign_adapter))
    assert code == 1
    assert f"the adapter in {foreign_adapter} is not for this base" in errors(findings)


def test_an_encoder_that_does_not_match_the_gallery(
    doctor: Doctor, copied_gallery: Path, tmp_path: Path
) -> None:
    other = {"CIR_API__GALLERY__PATH": str(copied_gallery)}
    other["CIR_API__ENCODER__MODEL"] = tiny_model(tmp_path / "tiny").model
    code, findings = doctor(**other)
    assert code == 1
    assert "built with encoder demo-" in errors(findings)
    assert "the API would run tiny" in errors(findings)
    # of the same name, only its weights tell it apart
    other["CIR_API__ENCODER__MODEL"] = tiny_model(tmp_path / "demo").model
    assert doctor(**other)[0] == 0
    code, findings = doctor("--load", **other)
    assert code == 1
    assert "but the API would run demo-" in errors(findings)


def test_api_and_worker_share_the_memory_of_a_machine(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, findings = doctor()
    assert code == 0
    assert "RAM: API and worker together need about" in about(findings, "memory")
    monkeypatch.setattr("app.doctor.models.ram_bytes", lambda: 3 * PROCESS_BYTES // 2)
    code, findings = doctor()
    assert code == 1
    assert errors(findings).startswith("RAM: API and worker together need about")
    nobody = json.dumps([f"http://127.0.0.1:{free_port()}"])
    code, findings = doctor(CIR_API__WORKER__URLS=nobody)
    assert code == 0
    assert about(findings, "memory") == ""


def test_workers_and_ports(doctor: Doctor, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, findings = doctor("--port", str(port), CIR_API__WORKER__URLS=json.dumps([nobody]))
    assert code == 0
    assert f"{nobody} is not ready" in about(findings, "worker")
    assert f"something listens on 127.0.0.1:{port} already" in about(findings, "port")
    assert f"runs elsewhere: {nobody}" in about(findings, "reranker")


def test_an_external_reranker_is_tested_and_the_local_one_is_not_needed(doctor: Doctor) -> None:
    settings = {
        "CIR_API__EXTERNAL_RERANKER__MODEL": MODEL,
        "CIR_API__EXTERNAL_RERANKER__API_KEY": "key",
        "CIR_WORKER__RERANKER__BASE": "/nowhere",
    }
    with stub_reranker() as (stub, url):
        stub.key = "key"
        code, findings = doctor(CIR_API__EXTERNAL_RERANKER__URL=url, **settings)
        assert code == 0, errors(findings)
        assert f"runs elsewhere: {MODEL} at {url}" in about(findings, "reranker")
        assert f"{url}/v1/rerank: {MODEL} tells plain shapes apart" in about(findings, "reranker")
        stub.blind = True
        assert "is not ready: it failed its self-test" in about(doctor()[1], "reranker")
        assert "refuses our key" in about(
            doctor(CIR_API__EXTERNAL_RERANKER__API_KEY="x")[1], "reranker"
        )
    code, findings = doctor()
    assert code == 0
    assert f"{url}/v1/rerank is not ready: {url}/v1/rerank cannot be reached" in about(
        findings, "reranker"
    )


@pytest.mark.parametrize("preset", ["demo", "base", "my own.json"])
def test_a_command_that_is_suggested_is_one(preset: str) -> None:
    run = shlex.split(command("app --no-worker", "CIR_API__PRESET", preset))
    build = shlex.split(command("indexer build --images F", "CIR_INDEXER__PRESET", preset))
    if preset != "demo":
        assert run.pop(0) == f"CIR_API__PRESET={preset}"
        assert build.pop(0) == f"CIR_INDEXER__PRESET={preset}"
    assert (run[:3], build[:3]) == (["python", "-m", "app"], ["python", "-m", "indexer"])
    serving = read_app_options(run[3:])
    assert isinstance(serving, ServeOptions)
    assert serving.no_worker
    options = read_options(build[3:])
    assert isinstance(options, BuildOptions)
    assert options.images == Path("F")


def test_a_server_that_is_not_there(doctor: Doctor) -> None:
    code, findings = doctor(CIR_API__GALLERY__URL=f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "cannot be reached; is it running" in errors(findings)


@pytest.mark.parametrize(
    ("missing", "role", "still"),
    [
        (["peft", "transformers"], "worker", "ok    encoder   demo"),
        (["open_clip_torch", "qdrant-client"], "api", "ok    reranker  demo"),
    ],
)
def test_it_runs_where_only_one_process_is_installed(
    missing: list[str], role: str, still: str, tmp_path: Path
) -> None:
    """In a process where those packages can neither be imported nor found."""
    modules = {"open_clip_torch": "open_clip", "qdrant-client": "qdrant_client"}
    blocked = [modules.get(name, name) for name in missing]
    code = f"""
import sys
from importlib import metadata
from app.__main__ import main
sys.modules.update(dict.fromkeys({blocked}))
there = metadata.version
def version(name):
    if name in {missing}:
        raise metadata.PackageNotFoundError(name)
    return there(name)
metadata.version = version
sys.exit(main(["doctor", "--port", "{free_port()}"]))
"""
    environ = {**os.environ, "CIR_API__GALLERY__PATH": str(tmp_path / "qdrant")}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"{role}: not installed here ({', '.join(missing)} missing)" in said.stdout
    assert still in said.stdout


def test_the_memory_of_a_process_is_about_what_is_said() -> None:
    load = {
        "encoder": "import app.api.main; "
        "from models.encoder.encoder import ImageTextEncoder as Model; "
        "from models.settings import EncoderSettings as Settings",
        "reranker": "import app.worker.main; from models.reranker.reranker import Reranker as "
        "Model; "
        "from models.settings import RerankerSettings as Settings",
    }
    # VmHWM is the peak of this process alone; ru_maxrss begins with that of who forked it
    then = "model = Model(Settings(device='cpu')); print(open('/proc/self/status').read())"
    if sys.platform != "linux":
        pytest.skip("other systems tell it elsewhere")
    running = {
        part: subprocess.Popen(
            [sys.executable, "-c", f"{code}; {then}"],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for part, code in load.items()
    }
    needs = load_preset("demo").needs
    statuses = {part: process.communicate(timeout=300)[0] for part, process in running.items()}
    for part, status in statuses.items():
        peak_kb = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak_kb is not None, f"{part} ended without its figures"
        measured = 1024 * int(peak_kb[1])
        said = PROCESS_BYTES + getattr(needs, part).ram_bytes
        assert said / 1.5 < measured < said * 1.5, f"{part}: {measured} bytes, said were {said}"


def test_the_report_as_text() -> None:
    found = Finding("reranker", "error", "it is gone", "bring it back")
    report = Report("base", (Finding("port", "ok", "it is free"), found))
    assert list(report.lines()) == [
        "ok    port      it is free",
        "error reranker  it is gone",
        "                → bring it back",
        "it cannot run: 1 to be mended",
    ]
