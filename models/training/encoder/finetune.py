"""Fine-tunes an encoder on the captions of a catalogue of one's own, at a low learning rate.

After a few hundred steps an encoder knows a catalogue's words; more make it forget others, so the
figures before and after are on pictures it was not trained on. Statistics of batch norm
stay as they are.
"""

import json
import random
from dataclasses import astuple
from functools import partial

import numpy as np
import torch

from models.encoder.checkpoints import load_trainable, save_weights
from models.metrics.bootstrap import interval
from models.settings import EncoderSettings
from models.training.encoder.contrastive import (
    adamw,
    clamp_temperature,
    contrastive_loss,
    found_first,
    image_size_px,
    normalisation,
    two_captions,
)
from models.training.encoder.pairs import Pairs, Tokenize, jitter, load_pairs
from models.training.loop import Loop
from models.training.options import EncoderOptions
from models.training.plots import plot_loss
from models.training.run_identity import fingerprint, state_path

_WARMUP_SHARE = 0.1

_CARD = """# Model card: an encoder for a catalogue of one's own

`{base}`, fine-tuned on the captions of {trained} pictures. Serve it, in indexer and API alike, with

```sh
export CIR_INDEXER__ENCODER__MODEL=local-dir:THIS_FOLDER
export CIR_API__ENCODER__MODEL=local-dir:THIS_FOLDER
```

and build the gallery anew: embeddings of another encoder mean nothing to it. The weights of the
composition were tuned for the base; tune them again.

{table}

A caption finds its own picture first, among pictures with different captions that were not trained
on. [low, high]: 95 % bootstrap interval over captions.

![Loss](report/loss.png)

```sh
{command}
```

The base's licence (see its own card) holds for what is made of it.
"""


def run(options: EncoderOptions, command_line: str) -> None:
    """Fine-tune, measure before and after, and write weights, card and figures.

    An interrupted run continues from its state in `<out>/work`; with other settings, data or base
    it is another run, which begins anew.

    Raises:
        ManifestError: A manifest or a picture cannot be read, a caption is missing, or there are
            too few of them.
    """
    work = options.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    settings = EncoderSettings(model=options.base, pretrained=options.pretrained)
    model, tokenize = load_trainable(settings, options.out)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    pairs, validation = _read_pairs(options, tokenize, image_size_px(model))
    mean, std = normalisation(model)

    def measure() -> np.ndarray:
        return found_first(model, validation, mean, std)[0].cpu().numpy()

    def loss_of(number: int) -> torch.Tensor:
        torch.manual_seed(options.seed + number)  # a run that was cut off sees what it would have
        rows = torch.randperm(len(pairs))[: options.batch_size]
        _freeze_statistics(model)
        clamp_temperature(model)
        images = (jitter(pairs.images[rows].to(mean.device).float() / 255) - mean) / std
        return contrastive_loss(model, images, two_captions(pairs, rows).to(mean.device))

    before = measure()
    state = state_path(work, "encoder", _fingerprint(options, model, pairs, validation))
    loop = Loop("encoder", model, adamw(model, options.learning_rate), state)
    loop.run(
        loss_of,
        steps=options.steps,
        learning_rate=options.learning_rate,
        validate=lambda: {"recall@1": round(float(measure().mean()), 4)},
        validate_every=options.validate_every,
        warmup_steps=max(1, round(_WARMUP_SHARE * options.steps)),
        final_rate=0.0,
    )
    save_weights(model, options.out)
    _report(options, command_line, loop, before, measure(), len(pairs))


def _read_pairs(options: EncoderOptions, tokenize: Tokenize, size_px: int) -> tuple[Pairs, Pairs]:
    """The pairs to train on and those to measure with; no picture is in both."""
    if options.validation is not None:
        validation = load_pairs(options.validation, tokenize, size_px)
        return load_pairs(options.manifest, tokenize, size_px), validation
    held_out = partial(_is_held_out, share=options.validation_share)
    trained = load_pairs(
        options.manifest, tokenize, size_px, chosen=lambda image_id: not held_out(image_id)
    )
    return trained, load_pairs(options.manifest, tokenize, size_px, chosen=held_out)


def _fingerprint(
    options: EncoderOptions, model: torch.nn.Module, pairs: Pairs, validation: Pairs
) -> str:
    """Names what the trained weights, and what is measured on the way, follow from."""
    settings = (options.steps, options.batch_size, options.learning_rate, options.seed)
    data = (options.manifest, pairs.images, options.validation, validation.images)
    return fingerprint(model.state_dict(), *data, settings)


def _is_held_out(image_id: str, share: float) -> bool:
    """The name alone decides, so a picture is on the same side in every run."""
    return random.Random(f"part/{image_id}").random() < share


def _freeze_statistics(model: torch.nn.Module) -> None:
    """Leave batch norm's means alone: those of small batches of one catalogue are worse."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()


def _report(
    options: EncoderOptions,
    command_line: str,
    loop: Loop,
    before: np.ndarray,
    after: np.ndarray,
    trained: int,
) -> None:
    folder = options.out / "report"
    folder.mkdir(exist_ok=True)
    figures = {
        "before": interval(before), "after": interval(after), "gain": interval(after - before),
    }  # fmt: skip
    metrics = {
        "recall@1": {name: astuple(figure) for name, figure in figures.items()},
        "among": len(before), "trained_on": trained, "losses": loop.losses,
        "validations": loop.validations,
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    plot_loss(loop.losses, [], folder / "loss.png")
    said = {name: "{:.3f} [{:.3f}, {:.3f}]".format(*astuple(one)) for name, one in figures.items()}
    table = (
        "| text→image recall@1 | among | before | after | gain |\n|---|---|---|---|---|\n"
        f"| held-out captions | {len(before)} | {said['before']} | {said['after']} | "
        f"{said['gain']} |"
    )
    name = options.base + (f" ({options.pretrained})" if options.pretrained else "")
    card = _CARD.format(base=name, trained=trained, table=table, command=command_line)
    (options.out / "README.md").write_text(card, encoding="utf-8")
    print(f"{table}\nwrote {options.out}")
