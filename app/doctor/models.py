"""Encoder and reranker: do they exist, are they here, where would they run, is there room.

Nothing heavy is imported before it is known to be installed, and nothing is downloaded.
"""

from collections.abc import Callable, Iterator

from app.doctor.environment import free_disk_bytes, ram_bytes
from app.doctor.report import Finding, in_bytes
from models.errors import JobError
from models.presets import ModelNeeds
from models.settings import EncoderSettings, RerankerSettings

# Main memory of an API, or a worker, without its model: PyTorch and what comes with it. Measured on
# Linux with the demo preset (990 and 960 MB after 60 re-ranked searches on a CPU), less its models.
PROCESS_BYTES = 900_000_000


def check_encoder(settings: EncoderSettings, needs: ModelNeeds | None) -> Iterator[Finding]:
    """Report an encoder; `needs` is None where the preset says nothing about this model."""
    from models.encoder.sources import missing_weights  # noqa: PLC0415
    from models.hub import ModelUnavailable  # noqa: PLC0415

    tag = f", weights {settings.pretrained}" if settings.pretrained else ""
    yield Finding("encoder", "ok", f"{settings.model}{tag}, {settings.batch_size} images at once")
    try:
        download = missing_weights(settings)
    except ModelUnavailable as error:
        yield _unavailable("encoder", error, needs, None)
    else:
        yield from _download("encoder", download.missing_bytes if download else 0)
    yield from _device("encoder", settings.device, needs, lambda _: "float32")


def check_reranker(
    settings: RerankerSettings, needs: ModelNeeds | None, without: str
) -> Iterator[Finding]:
    """Report a reranker.

    Args:
        settings: The reranker.
        needs: None where the preset says nothing about this model.
        without: The command that runs all but the reranker.
    """
    from models import hub  # noqa: PLC0415
    from models.reranker.loading import HUB_FILES, check_compatible  # noqa: PLC0415

    adapter = settings.adapter or ("its own" if settings.base == "demo" else "none")
    yield Finding(
        "reranker", "ok",
        f"{settings.base}, adapter: {adapter}, {settings.visual_tokens} visual tokens per picture",
    )  # fmt: skip
    sources = [(settings.base_source, "the reranker's base")]
    if settings.adapter_source is not None:
        sources.append((settings.adapter_source, "the reranker's adapter"))
    try:
        found = [hub.pending_download(source, what, HUB_FILES) for source, what in sources]
        to_download = sum(download.missing_bytes for download in found if download)
        if not to_download:
            check_compatible(settings)
    except hub.ModelUnavailable as error:
        remedy = f"without a reranker it can run all the same: {without}"
        yield _unavailable("reranker", error, needs, remedy)
    else:
        yield from _download("reranker", to_download)
    yield from _device("reranker", settings.device, needs, lambda name: _dtype(settings, name))


def check_memory_of_both(
    needs: tuple[ModelNeeds, ModelNeeds], devices: tuple[str, str], without: str
) -> Iterator[Finding]:
    """Report whether API and worker fit on this machine together; each alone is checked already.

    Args:
        needs: Of the encoder and of the reranker.
        devices: Where each would run, as the settings name it.
        without: The command that runs all but the reranker.
    """
    ram = sum(PROCESS_BYTES + need.ram_bytes for need in needs)
    yield _room_for_both("RAM", ram_bytes(), ram, without)
    gpu_bytes = [_gpu_bytes(device) for device in devices]
    if None not in gpu_bytes:
        gpu = sum(need.device_bytes for need in needs)
        yield _room_for_both("GPU memory", gpu_bytes[0] or 0, gpu, without)


def _room_for_both(kind: str, there: int, needed: int, without: str) -> Finding:
    text = f"{kind}: API and worker together need about {in_bytes(needed)} of {in_bytes(there)}"
    if needed <= there:
        return Finding("memory", "ok", text)
    remedy = f"choose a smaller preset, a second machine for the worker, or no reranker: {without}"
    return Finding("memory", "error", text, remedy)


def _gpu_bytes(wanted: str) -> int | None:
    """Memory of the GPU that a model would run on; None: it would run on none."""
    import torch  # noqa: PLC0415

    from models.device import resolve_device  # noqa: PLC0415

    try:
        device, _ = resolve_device(wanted)
    except JobError:  # said where the model is looked at
        return None
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)


def _dtype(settings: RerankerSettings, device: str) -> str:
    import torch  # noqa: PLC0415

    if settings.dtype != "auto":
        return f"{settings.dtype} (asked for)"
    has_it = device == "cuda" and torch.cuda.is_bf16_supported()
    return "bfloat16 (the GPU has it)" if has_it else "float32 (no GPU that has bfloat16)"


def _unavailable(
    area: str, error: Exception, needs: ModelNeeds | None, remedy: str | None
) -> Finding:
    size = f" (about {in_bytes(needs.download_bytes)})" if needs and needs.download_bytes else ""
    return Finding(area, "error", f"{error}{size}", remedy)


def _download(area: str, missing_bytes: int) -> Iterator[Finding]:
    from models import hub  # noqa: PLC0415

    if not missing_bytes:
        yield Finding(area, "ok", "its files are here")
        return
    size, cache = in_bytes(missing_bytes), hub.cache_dir()
    free = free_disk_bytes(cache)
    if free < missing_bytes:
        yield Finding(
            area, "error", f"{size} are to be downloaded to {cache}, {in_bytes(free)} are free",
            "set HF_HOME to a larger disk",
        )  # fmt: skip
    else:
        yield Finding(
            area, "warn", f"{size} will be downloaded to {cache} at the first start "
            f"({in_bytes(free)} are free)",
        )  # fmt: skip


def _device(
    area: str, wanted: str, needs: ModelNeeds | None, dtype_on: Callable[[str], str]
) -> Iterator[Finding]:
    from models.device import resolve_device  # noqa: PLC0415

    try:
        device, reason = resolve_device(wanted)
    except JobError as error:
        yield Finding(area, "error", str(error), "set its device to auto or cpu")
        return
    yield Finding(area, "ok", f"would run on {reason}, {dtype_on(device.type)}")
    if needs is None:
        return
    yield _room(area, "RAM", ram_bytes(), PROCESS_BYTES + needs.ram_bytes)
    if (memory := _gpu_bytes(wanted)) is not None:
        yield _room(area, "GPU memory", memory, needs.device_bytes)


def _room(area: str, kind: str, there: int, needed: int) -> Finding:
    text = f"{kind}: its process needs about {in_bytes(needed)} of {in_bytes(there)}"
    if needed <= there:
        return Finding(area, "ok", text)
    return Finding(area, "error", text, "choose a smaller preset, or a larger machine")
