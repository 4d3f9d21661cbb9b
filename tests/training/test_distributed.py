"""Ranks share the work and change nothing; what one number of ranks saved another number reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.training.test_trainer import corpus, losses  # noqa: F401  (a fixture)

RUN = ["--optim.accumulate", "2", "--run.log_every", "1", "--run.device", "cpu",
       "--model.architecture.layerdrop", "0.3", "--data.batch_seconds", "3"]  # fmt: skip


def command(recipe, out, *options: str, ranks: int) -> list[str]:
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks), "-m"] if ranks > 1 else []
    return [sys.executable, "-m", *launcher, "xlsr", "finetune", str(recipe), "--out", str(out), *RUN, *options]


def train(recipe, out, *options: str, ranks: int = 1) -> None:
    done = subprocess.run(command(recipe, out, *options, ranks=ranks), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_give_the_losses_of_one(corpus, tmp_path, strategy: str) -> None:  # noqa: F811
    steps = ("--optim.updates", "50", "--run.eval_every", "25")
    train(corpus / "recipe.toml", tmp_path / "one", *steps)
    train(corpus / "recipe.toml", tmp_path / "two", *steps, "--run.strategy", strategy, ranks=2)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 50
    assert two == pytest.approx(one, rel=1e-5)


def killed(recipe, out, update: int, *options: str, ranks: int = 1) -> None:
    """Train until the log shows an update, and kill the processes without a word."""
    process = subprocess.Popen(
        command(recipe, out, *options, ranks=ranks), stderr=subprocess.DEVNULL, start_new_session=True
    )
    log, deadline = out / "log.jsonl", time.monotonic() + 120
    while not (log.is_file() and f'"update": {update},' in log.read_text()):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


STEPS = ("--optim.updates", "60", "--run.eval_every", "20", "--run.save_every", "5")


@pytest.fixture(scope="module")
def uninterrupted(corpus, tmp_path_factory):  # noqa: F811
    out = tmp_path_factory.mktemp("whole")
    train(corpus / "recipe.toml", out, *STEPS)
    return losses(out)


@pytest.mark.slow
@pytest.mark.parametrize("update", np.random.default_rng(4).integers(6, 50, 5).tolist())
def test_a_killed_run_goes_on_as_if_nothing_had_been(corpus, uninterrupted, tmp_path, update: int) -> None:  # noqa: F811
    killed(corpus / "recipe.toml", tmp_path, update, *STEPS)
    assert len(losses(tmp_path)) < 60
    train(corpus / "recipe.toml", tmp_path, *STEPS, "--resume")
    assert losses(tmp_path) == uninterrupted  # bit for bit


@pytest.mark.slow
def test_a_state_of_two_ranks_goes_on_with_one(corpus, uninterrupted, tmp_path) -> None:  # noqa: F811
    killed(corpus / "recipe.toml", tmp_path, 17, *STEPS, "--run.strategy", "fsdp", ranks=2)
    assert len(list(tmp_path.glob("state-*/*.safetensors"))) == 2
    train(corpus / "recipe.toml", tmp_path, *STEPS, "--resume")
    assert losses(tmp_path) == pytest.approx(uninterrupted, rel=1e-5)
