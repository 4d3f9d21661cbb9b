"""Fine-tuning with CTC, from a recipe to a model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from xlsr.config import Json, JsonObject
from xlsr.metrics import score_corpus
from xlsr.training.ctc import CTCTask
from xlsr.training.distributed import Ranks, autocast, put_whole_weights, settle_precision, start_ranks
from xlsr.training.recipe import FinetuneRecipe, read_recipe
from xlsr.training.report import RunSummary, write_card, write_report
from xlsr.training.trainer import Result, Trainer


def finetune(
    recipe: Path | str, out: Path | str, *, overrides: Mapping[str, Json] | None = None, resume: bool = False
) -> Result:
    """Fine-tune a CTC model by a recipe.

    Args:
        recipe: the TOML file, or the name of a recipe that ships with the package.
        out: folder of the run; `best/` in it is the model with the lowest development error, `report.html` its story,
            `vocabulary_report.json` what its vocabulary is and which texts it cannot spell.
        overrides: dotted recipe keys to values, such as `{"optim.lr": 1e-4}`.
        resume: go on with the run in `out`.

    Raises:
        RecipeError: the recipe is not understood.
        TrainingError: the run cannot start, or its loss is no longer finite.
    """
    read = read_recipe(recipe, FinetuneRecipe, overrides)
    with start_ranks(read.run.device) as ranks:
        read = settle_precision(read, ranks.device)
        task = CTCTask(read)
        if ranks.leads:
            _introduce(task)
            if not resume:
                _write_report(task, Path(out))
        result = Trainer(task, read, Path(out), ranks).run(resume=resume)
        _describe(task, result, ranks)
        return result


def _describe(task: CTCTask, result: Result, ranks: Ranks) -> None:
    """Write the report of a run and the card of its best model, which hears the development set once more."""
    put_whole_weights(task.model, task.read_weights(result.folder), ranks)
    task.model.eval()
    with autocast(task.recipe, ranks):
        scored = task.transcribe(ranks)
    if not ranks.leads:
        return
    run = RunSummary(
        name=result.folder.parent.resolve().name,
        recipe=task.recipe.to_dict(),
        update=result.update,
        parameters=sum(p.numel() for p in task.model.parameters()),
        train_hours=sum(u.duration for u in task.train) / 3600,
        languages=tuple(sorted({u.language for u in task.train if u.language})),
        errors=score_corpus(scored, tokens=task.tokens, by=("language", "speaker")),
        notes=(*task.notes, *task.drop_notes()),
    )
    write_report(run, result.folder.parent / "log.jsonl", result.folder.parent / "report.html")
    write_card(run, result.folder)


def _introduce(task: CTCTask) -> None:
    """Say what is about to learn from what."""
    console = Console(stderr=True)
    parameters = sum(p.numel() for p in task.model.parameters())
    learning = sum(p.numel() for p in task.model.parameters() if p.requires_grad)
    hours = sum(u.duration for u in task.train) / 3600
    console.print(
        f"{parameters / 1e6:.1f} M parameters, of which {learning / 1e6:.2f} M learn, {task.tokenizer.size} symbols; "
        f"{len(task.train)} utterances ({hours:.2f} h) to train, {len(task.dev)} to choose by"
    )
    for note in (*task.notes, *task.drop_notes()):
        console.print(note, markup=False, highlight=False)
    console.print(str(task.survey.report()), markup=False, highlight=False)
    if task.survey_dev.failures:
        console.print(f"development set: {task.survey_dev.report()}", markup=False, highlight=False)


def _write_report(task: CTCTask, out: Path) -> None:
    """Write what the vocabulary is and what the texts are to it, unless the folder is another run's."""
    if (out / "recipe.json").exists():
        return  # which the trainer refuses
    report: JsonObject = {
        "size": task.tokenizer.size,
        "case": task.start.case,
        "notes": list(task.notes),
        "training": task.survey.report().to_dict(),
        "development": task.survey_dev.report().to_dict(),
    }
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (out / "vocabulary_report.json").write_text(text + "\n", "utf-8")
