"""What a run leaves for people: one HTML page, and the model card of its best weights.

Reads the run's own log. Knows no task; it is given the development set as the best model heard it.
"""

from __future__ import annotations

import importlib.util
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from xlsr.config import Json, JsonObject
from xlsr.metrics import ErrorSummary
from xlsr.report import Page, add_breakdowns, add_errors
from xlsr.tables import Table
from xlsr.version import __version__

Curve = tuple[list[float], list[float]]


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    Attributes:
        name: of the run, for headings.
        recipe: as it was resolved.
        update: of the best model.
        parameters: of the network.
        train_hours: of audio that was learnt from.
        languages: ISO 639-3, where the manifest tells.
        errors: of the best model on the development set.
        notes: what was dropped, and the like.
    """

    name: str
    recipe: JsonObject
    update: int
    parameters: int
    train_hours: float
    languages: tuple[str, ...]
    errors: ErrorSummary
    notes: tuple[str, ...] = ()


def write_report(run: RunSummary, log: Path, out: Path) -> None:
    """Write the page of a run.

    Args:
        run: what it came to.
        log: the run's `log.jsonl`.
        out: the HTML file.
    """
    rows = read_log(log)
    page = Page(run.name, f"Best model at update {run.update}; errors are of the development set.")
    total = run.errors.total
    page.figures({rate.name: (f"{rate.value:.1%}", str(rate)) for rate in total.rates} | {
        "parameters": f"{run.parameters / 1e6:.1f} M", "training speech": f"{run.train_hours:.2f} h",
        "speed": f"{_last(rows, 'audio_seconds_per_second'):.0f} × real time",
    })  # fmt: skip
    page.note(run.errors.note)
    page.heading("Curves")
    if importlib.util.find_spec("matplotlib"):
        for title, label, names in _CURVES:
            found = {name: curve for name in names if (curve := _curve(rows, name))[0]}
            if found:
                page.curves(title, found, x_label="updates", y_label=label)
        add_breakdowns(page, run.errors)
    else:
        page.note("Curves need matplotlib: pip install 'xlsr[report]'. The figures are in log.jsonl.")
        for key in run.errors.parts:
            page.heading(f"By {key}").table(run.errors.table(key))
    add_errors(page, run.errors)
    for note in run.notes:
        page.note(note)
    page.heading("Recipe").table(_recipe_table(run.recipe))
    page.note(f"xlsr {__version__}, torch {torch.__version__}, Python {platform.python_version()}")
    page.write(out)


_CURVES = (
    ("Loss", "mean loss", ("loss",)),
    ("Development errors", "error rate", ("dev_wer", "dev_cer", "dev_per")),
    ("Gradient norm", "norm before clipping", ("grad_norm",)),
)


def write_card(run: RunSummary, folder: Path) -> None:
    """Write `README.md` beside a model: what it is, what it learnt from, what it makes of other speakers."""
    data = run.recipe.get("data")
    train, dev = (Path(str(data[key])).name if isinstance(data, dict) else "" for key in ("train", "dev"))
    languages = "".join(f"\n- {language}" for language in run.languages)
    dropped = "".join(f"* {note}\n" for note in run.notes)
    (folder / "README.md").write_text(
        f"""---
library_name: xlsr
pipeline_tag: automatic-speech-recognition
tags:
- wav2vec2{f"{chr(10)}language:{languages}" if languages else ""}
---
# {run.name}

A wav2vec 2.0 model of {run.parameters / 1e6:.1f} M parameters, trained by xlsr {__version__} with CTC on
{run.train_hours:.2f} hours of labelled speech (`{train}`).

```
xlsr transcribe FILE --model FOLDER
```

It loads in transformers as well: `Wav2Vec2ForCTC.from_pretrained(FOLDER)`.

## Errors

On the development set (`{dev}`), by which update {run.update} was chosen: expect more on other speech.

{run.errors.to_markdown()}
## Training

The whole recipe is `recipe.json` of the run.

{_recipe_table(run.recipe).to_markdown()}
{dropped}
The licence depends on the recordings and on the model that training started from; name it here before you share this
folder.
""",
        "utf-8",
    )


def read_log(log: Path) -> list[JsonObject]:
    """The lines of a run's log."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def _curve(rows: Sequence[Mapping[str, Json]], name: str) -> Curve:
    points = [(row["update"], row[name]) for row in rows if name in row]
    numbers = [(float(x), float(y)) for x, y in points if isinstance(x, int) and isinstance(y, int | float)]
    return [x for x, _ in numbers], [y for _, y in numbers]


def _last(rows: Sequence[Mapping[str, Json]], name: str) -> float:
    values = _curve(rows, name)[1]
    return values[-1] if values else 0.0


def _recipe_table(recipe: JsonObject) -> Table:
    """What the recipe says, a line a key; folders of manifests are left out."""
    rows = []
    for table, values in recipe.items():
        assert isinstance(values, dict)
        for key, value in values.items():
            shown = Path(value).name if isinstance(value, str) and "/" in value else value
            rows.append((f"{table}.{key}", shown if isinstance(shown, str) else json.dumps(shown)))
    return Table(("key", "value"), tuple(rows))
