"""Commands about inquiries: what they print, what they leave behind, how they end."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from skipnorm.cli.main import Ending
from skipnorm.errors import ClaimError, StudyError
from skipnorm.inquiries import CATALOGUE, Inquiry, load

pytest.importorskip("skipnorm.report.page")
HERE = "--on", "in_process"


def test_a_run_prints_its_verdicts_and_writes_its_page(skipnorm, toy):
    done = skipnorm("run", "toy", *HERE)
    assert done.exit_code == Ending.DONE, done.output
    assert "gain-is-one" in done.output
    assert "supported" in done.output
    page = Path("runs/toy/report.html")
    assert done.stdout.splitlines()[-1] == f"Report: {page}"
    assert "The gain is at least one." in page.read_text(encoding="utf-8")


def test_the_demo_puts_every_inquiry_on_one_page(skipnorm, toy):
    done = skipnorm("demo", *HERE, "--out", "here")
    assert done.exit_code == Ending.DONE, done.output
    assert Path("here/report.html").is_file()
    assert Path("here/toy/study.json").is_file()


@pytest.mark.parametrize(
    ("made", "asked"), [("run", "here"), ("demo", "here"), ("demo", "here/toy")]
)
def test_the_page_is_made_again_from_the_evidence_alone(skipnorm, toy, monkeypatch, made, asked):
    name = ["toy"] if made == "run" else []
    first = skipnorm(made, *name, *HERE, "--out", "here", "--json")
    monkeypatch.setitem(sys.modules, "skipnorm.studies.measure", None)
    again = skipnorm("report", asked, "--out", "again.html", "--json")
    assert again.exit_code == Ending.DONE, again.output
    assert json.loads(again.stdout)["verdicts"] == json.loads(first.stdout)["verdicts"]
    assert Path("again.html").is_file()


def test_verdicts_are_data_on_request(skipnorm, toy):
    (row,) = json.loads(skipnorm("run", "toy", *HERE, "--json").stdout)["verdicts"]
    assert (row["inquiry"], row["claim"], row["ruling"]) == ("toy", "gain-is-one", "supported")
    assert (row["seeds"], row["high"] > row["effect"] > row["low"]) == (6, True)


def test_the_number_of_seeds_is_free_and_grows_a_study(skipnorm, toy):
    skipnorm("run", "toy", *HERE, "--seeds", "5")
    done = skipnorm("run", "toy", *HERE, "--seeds", "7", "--json")
    assert json.loads(done.stdout)["verdicts"][0]["seeds"] == 7
    assert len(list(Path("runs/toy/trials").rglob("*.nc"))) == 7


def test_a_claim_that_stays_undecided_is_an_ending_only_on_request(skipnorm, toy):
    assert skipnorm("run", "toy", *HERE, "--seeds", "3").exit_code == Ending.DONE
    done = skipnorm("run", "toy", *HERE, "--seeds", "3", "--decided")
    assert done.exit_code == Ending.UNDECIDED


def test_a_failed_trial_is_said_and_the_page_written_all_the_same(skipnorm, toy, monkeypatch):
    monkeypatch.setenv("TOY_FAILS_ON", "2")
    done = skipnorm("run", "toy", *HERE)
    assert done.exit_code == Ending.INCOMPLETE
    assert "1 of 6 trials have no evidence (1 failed" in done.stderr
    command = "skipnorm run toy --scale quick --on in_process --out runs/toy"
    assert command in done.stderr
    assert Path("runs/toy/report.html").is_file()
    monkeypatch.delenv("TOY_FAILS_ON")
    assert skipnorm(*command.split()[1:]).exit_code == Ending.DONE


def test_an_interrupt_says_how_to_go_on(skipnorm, toy, monkeypatch):
    monkeypatch.setenv("TOY_INTERRUPTS_ON", "2")
    done = skipnorm("run", "toy", *HERE, "--out", "a folder")
    assert done.exit_code == Ending.INTERRUPTED
    assert "skipnorm run toy --on in_process --out 'a folder'" in done.stderr
    assert len(list(Path("a folder/trials").rglob("*.nc"))) == 2


def test_a_folder_without_a_run_is_named(skipnorm, toy):
    done = skipnorm("report", ".")
    assert done.exit_code == Ending.FAILED
    assert "Not the folder of a run" in done.stderr


def test_list_names_every_inquiry(skipnorm):
    done = skipnorm("list", "--json")
    assert [entry["name"] for entry in json.loads(done.stdout)] == [e.name for e in CATALOGUE]
    assert all(entry.name in skipnorm("list").output for entry in CATALOGUE)


@pytest.mark.parametrize("columns", ["80", "60"])
def test_list_is_whole_on_a_narrow_terminal(skipnorm, columns):
    lines = skipnorm("list", COLUMNS=columns).output.splitlines()
    assert max(map(len, lines)) <= int(columns)
    names = [line.split()[0] for line in lines if line[:1].isalpha()]
    assert names[1:-1] == [entry.name for entry in CATALOGUE]
    told = Counter(word for line in lines for word in line.split())
    for entry in CATALOGUE:
        assert not Counter(f"{entry.question} {entry.cost}".split()) - told


def test_an_unknown_inquiry_is_answered_with_the_nearest(skipnorm):
    done = skipnorm("run", "stabilty")
    assert done.exit_code == Ending.FAILED
    assert "Did you mean 'stability'" in done.stderr


@pytest.mark.parametrize("words", [["no-such-command"], ["run"], ["run", "toy", "--scale", "huge"]])
def test_wrong_usage_has_a_code_of_its_own(skipnorm, words):
    assert skipnorm(*words).exit_code == Ending.MISUSED


def test_help_tells_the_exit_codes(skipnorm):
    text = " ".join(skipnorm("--help").output.split())
    assert all(f"{ending.value} " in text for ending in Ending)


@pytest.mark.parametrize("word", ["--help", "list"])
def test_help_and_list_answer_at_once_and_without_torch(word):
    resource = pytest.importorskip("resource", reason="needs the clock of child processes")
    code = "import sys\nsys.argv = ['skipnorm', sys.argv[1]]\nfrom skipnorm.cli.main import main\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
    code += "assert not {'torch', 'xarray', 'scipy'} & set(sys.modules)"

    def seconds():  # of computing: what else the machine does meanwhile is not ours
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    for _ in range(5):  # the first time may have to compile
        begun = seconds()
        subprocess.run([sys.executable, "-c", code, word], check=True, capture_output=True)
        if (spent := seconds() - begun) < 0.5:
            break
    assert spent < 0.5


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_the_catalogue_says_what_the_inquiry_says(entry):
    inquiry = load(entry.name)
    assert (inquiry.name, inquiry.question) == (entry.name, entry.question)
    assert inquiry.study("quick").name == entry.name


def test_an_inquiry_shows_every_claim_and_says_what_every_figure_shows(toy):
    import toy_inquiry

    told = {field: getattr(toy_inquiry.TOY, field) for field in Inquiry.__dataclass_fields__}
    with pytest.raises(ClaimError, match="has no caption"):
        Inquiry(**{**told, "captions": {}})
    with pytest.raises(ClaimError, match="shown by no figure"):
        Inquiry(**{**told, "figures": {"other": print}})
    with pytest.raises(ClaimError, match="share a name"):
        Inquiry(**{**told, "claims": told["claims"] * 2})


def test_a_module_without_its_inquiry_is_named(monkeypatch):
    from types import ModuleType

    monkeypatch.setitem(sys.modules, "skipnorm.inquiries.stability", ModuleType("empty"))
    with pytest.raises(StudyError, match="should hold an Inquiry named 'stability'"):
        load("stability")
