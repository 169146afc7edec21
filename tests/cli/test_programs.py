"""Studies of one's own from the command line, how they end, and reading them without torch."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skipnorm.cli.asked import asked
from skipnorm.cli.main import Ending
from skipnorm.errors import StudyError
from skipnorm.studies.study import Study

MYSTUDY = """
import skipnorm as sn
from skipnorm.tasks import Gaussian

task = Gaussian(4, covector=3)
variants = {
    norm: sn.Variant(sn.Perceptron(width=8, depth=2, norm=norm, inputs=4, outputs=3), task, batch=6)
    for norm in ("none", "batch")
}
study = sn.Study("mine", variants, seeds=range(2), probes="moments")
"""

TRAINED = """
import skipnorm as sn

net = sn.Perceptron(width=4, depth=1, inputs=64, outputs=10)
training = sn.Training(steps=2, batch=8)
variant = sn.Variant(net, sn.Digits(flat=True), batch=4, training=training)
study = sn.Study("trained", {"one": variant}, seeds=range(1), probes="moments")
"""

SLOW = """
import time
from dataclasses import dataclass
import skipnorm as sn
from skipnorm.tasks import Gaussian

@dataclass(frozen=True)
class Slow:
    def build(self, seed):
        if seed:
            time.sleep(60)
        return sn.Perceptron(width=4, depth=1, inputs=4, outputs=3).build(seed)

variant = sn.Variant(Slow(), Gaussian(4, covector=3), batch=4)
study = sn.Study("slow", {"one": variant}, seeds=range(3), probes="moments")
"""

BARRED = """
import sys

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("torch is barred here")

sys.meta_path.insert(0, Barred())
from skipnorm.cli.main import main
main()
"""

HERE = ("--on", "in_process")


@pytest.fixture
def mystudy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with a study, of a name that no other test has imported."""
    name = "study_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MYSTUDY)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it ignored
from skipnorm.cli.main import main
main()
"""


def program(*words: str, start: str = START, **more):
    return subprocess.Popen(
        [sys.executable, "-c", start, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_a_study_in_a_file_is_run_shown_and_read_without_torch(skipnorm, mystudy, tmp_path):
    done = skipnorm("run", f"{mystudy}.py", *HERE, "--seeds", "3")
    assert done.exit_code == Ending.DONE, done.output
    assert "mine: 6 of 6 trials done" in done.stdout
    assert "Report: runs/mine/report.html" in done.stdout
    for command in ("status", "report"):
        with program(command, "runs/mine", "--json", start=BARRED, cwd=tmp_path) as running:
            out, err = running.communicate(timeout=60)
        assert running.returncode == Ending.DONE, err
        assert json.loads(out)
    again = skipnorm("run", f"{mystudy}:study", *HERE, "--seeds", "3", "--out", "runs/mine")
    assert again.exit_code == Ending.DONE, again.output  # the same study by another name


def test_the_status_says_how_to_go_on(skipnorm, mystudy):
    skipnorm("run", f"{mystudy}.py", *HERE, "--out", "a folder")
    path = next(Path("a folder/trials").rglob("*.nc"))
    path.unlink()
    found = skipnorm("status", "a folder")
    assert found.exit_code == Ending.INCOMPLETE
    command = f"skipnorm run {mystudy}.py --scale quick --on in_process --out 'a folder'"
    assert f"Go on with:\n  {command}" in found.stdout
    (told,) = json.loads(skipnorm("status", "a folder", "--json").stdout)
    assert told["counts"]["missing"] == 1
    assert skipnorm("status", "nowhere").exit_code == Ending.FAILED


def test_trained_states_are_kept_where_asked(skipnorm, mystudy, tmp_path):
    (tmp_path / f"{mystudy}.py").write_text(TRAINED)
    done = skipnorm("run", f"{mystudy}.py", *HERE, "--states", "shared")
    assert done.exit_code == Ending.DONE, done.output
    assert list(Path("shared").glob("*/step-2.pt"))
    assert not Path("runs/trained/states").exists()
    told = json.loads(skipnorm("status", "runs/trained", "--json").stdout)[0]
    assert " --states shared " in told["command"]


@pytest.mark.parametrize(
    ("content", "target", "says"),
    [
        ("", "{}.py", "should hold one Study or Inquiry"),
        (MYSTUDY + "other = study", "{}.py", "found study, other"),
        (MYSTUDY, "{}.py:studi", "Did you mean 'study'"),
        (MYSTUDY, "{}.py:task", "found Gaussian"),
        (MYSTUDY, "{}x.py", "Did you mean"),
    ],
)
def test_a_file_without_its_study_is_answered_clearly(
    skipnorm, mystudy, tmp_path, content, target, says
):
    (tmp_path / f"{mystudy}.py").write_text(content)
    done = skipnorm("run", target.format(mystudy), *HERE)
    assert done.exit_code == Ending.FAILED
    assert says in done.stderr


def test_a_file_named_like_another_module_is_refused(skipnorm, tmp_path, mystudy):
    (tmp_path / "json.py").write_text(MYSTUDY)
    done = skipnorm("run", "json.py", *HERE)
    assert "has the name of another module" in done.stderr


def test_a_function_may_make_the_study_from_the_scale(mystudy, tmp_path, monkeypatch):
    text = MYSTUDY + "\ndef made(scale):\n    return sn.Study(scale, variants)\n"
    (tmp_path / f"{mystudy}.py").write_text(text)
    found = asked(f"{tmp_path / mystudy}.py:made", scale="full")
    assert isinstance(found.study, Study)
    assert (found.study.name, found.source) == ("full", "")


def test_a_network_of_ones_own_needs_its_task(skipnorm, mystudy, tmp_path):
    (tmp_path / f"{mystudy}.py").write_text(
        "import skipnorm as sn\n\n\ndef build():\n    return sn.Perceptron(depth=1, width=4).build(0)\n"
    )
    own = ("--network", f"{mystudy}:build")
    done = skipnorm("run", "flow", *HERE, *own)
    assert "Expected --task, such as --task digits" in done.stderr
    done = skipnorm("run", "degradation", *HERE, *own, "--task", "digits")
    assert "Of a network of one's own can be asked" in done.stderr
    done = skipnorm("run", "flow", *HERE, "--task", "digits")
    assert "name it with --network" in done.stderr
    words = (*own, "--task", "digits", "--without", "norms")
    done = skipnorm("run", "flow", *HERE, *words)
    assert done.exit_code == Ending.FAILED
    assert "expected norms, found neither" in done.stderr


def test_gpus_are_for_ray(skipnorm, mystudy):
    done = skipnorm("run", f"{mystudy}.py", *HERE, "--gpus", "1")
    assert done.exit_code == Ending.FAILED
    assert "--on ray" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "ending", "word"),
    [
        (signal.SIGINT, Ending.INTERRUPTED, "Interrupted"),
        pytest.param(signal.SIGTERM, Ending.TERMINATED, "Terminated", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_study_cleanly_and_it_goes_on(tmp_path, skipnorm, number, ending, word):
    (tmp_path / "slow.py").write_text(SLOW)
    words = "run", "slow.py", *HERE
    with program(*words, cwd=tmp_path, start_new_session=True) as running:
        while not list((tmp_path / "runs" / "slow" / "claims").rglob("1-*.1")):
            assert running.poll() is None, running.stderr.read()
        os.kill(running.pid, number)
        _, err = running.communicate(timeout=30)
    assert running.returncode == ending, err
    assert f"{word}. Finished trials are kept; go on with:\n  skipnorm run slow.py" in err
    assert "Traceback" not in err
    assert "\x1b" not in err
    (told,) = json.loads(skipnorm("status", "runs/slow", "--json").stdout)
    assert told["counts"] | {"trials": 3} == {
        "trials": 3, "done": 1, "running": 0, "failed": 0, "damaged": 0, "missing": 2, "diverged": 0,
    }  # fmt: skip


@pytest.mark.parametrize("command", ["anatomy", "measure"])
def test_an_interrupt_of_what_keeps_nothing_says_so(skipnorm, monkeypatch, command):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("skipnorm.cli.target.subject", interrupted)
    done = skipnorm(command, "some:thing")
    assert done.exit_code == Ending.INTERRUPTED
    assert "Nothing was kept" in done.stderr
    assert f"skipnorm {command} some:thing" in done.stderr


@pytest.mark.parametrize("module", ["skipnorm", "skipnorm.cli.main"])
def test_the_program_is_a_module_too(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "list", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_an_inquiry_that_moved_is_named(mystudy, tmp_path):
    from skipnorm.cli.asked import inquiry_at

    with pytest.raises(StudyError, match="should still be the Inquiry"):
        inquiry_at(str(tmp_path / f"{mystudy}.py"))
