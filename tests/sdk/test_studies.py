"""Jobs become Optuna studies, in memory and in Optuna's storages, and studies starting points."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as StudyState

from shrinknets import Job, StudyError, study_points, wire
from shrinknets._space import Range, search_space, widened
from shrinknets._study import build_study, export_studies
from shrinknets.wire import (
    FixedL2Search,
    FixedSearch,
    IntRange,
    JobSpec,
    JobState,
    LogRange,
    Method,
    Methods,
    NetworkBounds,
    Params,
    PathRun,
    ShrinkNetsSearch,
    TrialState,
)
from worker.search import suggest

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPEC = JobSpec(
    dataset="digits",
    network=NetworkBounds(widths=(60, 3, 50)),
    methods=Methods(
        shrinknets=ShrinkNetsSearch(lam=LogRange(low=1e-3, high=1e-2)),
        path=PathRun(),
        fixed=FixedSearch(),
        fixed_l2=FixedL2Search(depth=IntRange(low=1, high=2), width=IntRange(low=2, high=3)),
    ),
)


@pytest.fixture(autouse=True)
def _quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def job() -> wire.Job:
    progress = wire.Progress(
        total=1, ended=1, running=0, best_validation_accuracy=None, alive_units=None
    )
    return wire.Job(
        id="job-0000000001",
        state=JobState.SUCCEEDED,
        reason="",
        name="mine",
        labels={},
        priority=0,
        spec=SPEC,
        progress=progress,
        created_at=AT,
        started_at=AT,
        ended_at=AT,
        worker=None,
    )


def trial(number: int, params: Params | None = None, **changes: Any) -> wire.Trial:
    fields: dict[str, Any] = {
        "id": f"trial-{number}",
        "job_id": "job-0000000001",
        "method": Method.SHRINKNETS,
        "number": number,
        "state": TrialState.COMPLETE,
        "reason": "",
        "params": {"lam": 0.002 + number * 1e-6} if params is None else params,
        "seed": 7 + number,
        "epochs": 2,
        "train_seconds": 1.5,
        "validation_accuracy": 0.5 + number / 1e5,
        "widths": [12, 7],
        "parameters": 300 + number,
        "created_at": AT,
        "started_at": AT + timedelta(seconds=1),
        "ended_at": AT + timedelta(seconds=9),
    }
    return wire.Trial(**{**fields, **changes})


def study_of(*trials: wire.Trial, epochs: int = 2, with_size: bool = False) -> optuna.Study:
    curve = [(step, 0.1 * step / epochs) for step in range(1, epochs + 1)]
    curves = {one.id: curve for one in trials}
    return build_study(job(), Method.SHRINKNETS, trials, [], curves, with_size=with_size)


def loaded(url: str, name: str) -> list[FrozenTrial]:
    return optuna.load_study(study_name=name, storage=url).trials


def told(one: FrozenTrial) -> dict[str, Any]:
    """All of a trial but its id, which is the storage's own."""
    return {name: value for name, value in vars(one).items() if name != "_trial_id"}


@pytest.mark.parametrize("method", [Method.SHRINKNETS, Method.FIXED, Method.FIXED_L2, Method.PATH])
def test_the_space_of_a_method_is_the_one_that_the_worker_searches(method: Method) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asked = [study.ask() for _ in range(30)]
    for one in asked:
        suggest(one, SPEC, method)
    known = {}
    for name, limits in search_space(SPEC, method).items():
        of_kind: Any = IntDistribution if limits.is_whole else FloatDistribution
        known[name] = of_kind(limits.low, limits.high, log=limits.is_log)
    searched = {name: d for one in asked for name, d in one.distributions.items()}
    assert known == searched


def test_a_space_holds_starting_points_outside_of_it_and_names_that_it_does_not_know() -> None:
    known = {"lam": Range(low=0.1, high=0.2, is_whole=False, is_log=True)}
    assert widened(known, [{"lam": 0.5, "lr": 3}, {"lam": 0.15, "lr": 2, "words": "x"}]) == {
        "lam": Range(low=0.1, high=0.5, is_whole=False, is_log=True),
        "lr": Range(low=2, high=3, is_whole=True, is_log=False),
    }


def test_trials_keep_values_parameters_epochs_times_and_what_was_found() -> None:
    study = study_of(trial(0), trial(1))
    first, second = study.trials
    assert study.direction.name == "MAXIMIZE"
    assert (first.value, first.params) == (0.5, {"lam": 0.002})
    assert first.distributions == {"lam": FloatDistribution(1e-3, 1e-2, log=True)}
    assert first.intermediate_values == {1: 0.05, 2: 0.1}
    assert first.duration == timedelta(seconds=8)
    assert first.datetime_start is not None
    assert first.datetime_start.astimezone(UTC) == AT + timedelta(seconds=1)
    assert first.user_attrs["widths"] == [12, 7]
    assert (second.user_attrs["seed"], second.user_attrs["parameters"]) == (8, 301)
    assert not any("test" in name for name in first.user_attrs)
    assert study.user_attrs["job"] == "job-0000000001"
    assert study.best_trial.number == 1


def test_size_can_be_a_second_objective() -> None:
    study = study_of(trial(0), trial(1), trial(2, validation_accuracy=0.1), with_size=True)
    assert study.trials[1].values == [0.50001, 301]
    assert [one.number for one in study.best_trials] == [0, 1]


def test_each_state_has_its_word_and_its_reason() -> None:
    states = {
        TrialState.COMPLETE: StudyState.COMPLETE,
        TrialState.PRUNED: StudyState.PRUNED,
        TrialState.INFEASIBLE: StudyState.PRUNED,
        TrialState.FAILED: StudyState.FAIL,
        TrialState.CANCELLED: StudyState.FAIL,
        TrialState.RUNNING: StudyState.RUNNING,
        TrialState.WAITING: StudyState.WAITING,
    }
    assert states.keys() == set(TrialState)
    trials = [
        trial(number, state=state, reason=f"it is {state}", ended_at=AT if state.is_final else None)
        for number, state in enumerate(states)
    ]
    for made, state in zip(study_of(*trials).trials, states, strict=True):
        assert made.state is states[state]
        assert made.user_attrs["state"] == state.value
        assert made.user_attrs["reason"] == f"it is {state}"


def test_a_study_written_at_once_is_the_one_that_optuna_would_write(tmp_path: Path) -> None:
    states = [TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED, TrialState.WAITING]
    trials = [
        trial(number, state=state, ended_at=AT if state.is_final else None)
        for number, state in enumerate(states)
    ]
    study = study_of(*trials)
    ours, theirs = (f"sqlite:///{tmp_path / name}.db" for name in ("ours", "theirs"))
    (name,) = export_studies([study], ours, overwrite=False)
    expected = optuna.create_study(study_name=name, storage=theirs, direction="maximize")
    expected.add_trials(study.trials)
    assert loaded(ours, name) == loaded(theirs, name)
    written = optuna.load_study(study_name=name, storage=ours)
    assert written.user_attrs == study.user_attrs
    assert written.best_trial.number == 0
    # It is a study like any other: it goes on.
    written.tell(written.ask(), 0.9)
    assert written.best_value == 0.9


def test_a_second_export_is_refused_or_replaces_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    other = optuna.create_study(study_name="other", storage=url)
    other.add_trial(optuna.trial.create_trial(value=1.0))
    export_studies([study_of(trial(0))], url, overwrite=False)
    with pytest.raises(StudyError, match="has job-0000000001-shrinknets already"):
        export_studies([study_of(trial(0), trial(1))], url, overwrite=False)
    assert len(loaded(url, "job-0000000001-shrinknets")) == 1
    export_studies([study_of(trial(0), trial(1))], url, overwrite=True)
    assert len(loaded(url, "job-0000000001-shrinknets")) == 2
    assert len(loaded(url, "other")) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("x.db", "write a file as sqlite:///x.db"),
        ("nosuchdatabase://host/db", "cannot be used"),
        ("sqlite:////no/such/folder/x.db", "unable to open"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_in_words(url: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        export_studies([study_of(trial(0))], url, overwrite=False)


def test_points_of_a_study_come_best_first_and_each_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    study = optuna.create_study(study_name="mine", storage=url, direction="minimize")
    space = {"lam": FloatDistribution(1e-4, 1.0, log=True), "depth": IntDistribution(1, 3)}
    for lam, value in ((0.1, 3.0), (0.2, 1.0), (0.1, 2.5)):
        params = {"lam": lam, "depth": 2}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    study.add_trial(optuna.trial.create_trial(state=StudyState.FAIL))
    assert study_points(url) == study_points(url, "mine")
    assert study_points(url) == [{"lam": 0.2, "depth": 2}, {"lam": 0.1, "depth": 2}]
    with pytest.raises(StudyError, match="no study 'yours': there are mine"):
        study_points(url, "yours")
    optuna.create_study(study_name="another", storage=url)
    with pytest.raises(StudyError, match="no single study"):
        study_points(url)


def test_asking_for_a_file_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no file"):
        study_points(f"sqlite:///{tmp_path / 'x.db'}")
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_it_is_told_what_to_install() -> None:
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "from shrinknets import NoOptunaError, study_points\n"
        "try: study_points('sqlite:///x.db')\n"
        "except NoOptunaError as error: print(error)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "pip install 'shrinknets[optuna]'" in answer.stdout


@pytest.mark.slow
def test_a_real_job_is_exported_by_the_command_and_opened_by_optuna(
    finished_job: Job, run_cli: Callable[..., str], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    names = run_cli("export-study", finished_job.id, url).split()
    methods = finished_job.info.spec.methods.chosen()
    assert names == [f"{finished_job.id}-{method}" for method in methods]
    trials = finished_job.trials()
    for method in (Method.SHRINKNETS, Method.FIXED, Method.PATH):
        mine = [one for one in trials if one.method is method]
        found = loaded(url, f"{finished_job.id}-{method}")
        assert list(map(told, found)) == list(map(told, finished_job.study(method).trials))
        assert [one.params for one in found] == [one.params for one in mine]
        for one, written in zip(mine, found, strict=True):
            if one.state is TrialState.COMPLETE:
                assert written.value == one.validation_accuracy
            epochs = finished_job.epochs(one)
            assert written.intermediate_values == {e.step: e.validation_accuracy for e in epochs}
    with pytest.raises(StudyError, match="has several methods: name one of"):
        finished_job.study()
    assert "already" in run_cli("export-study", finished_job.id, url, status=1)
    run_cli("export-study", finished_job.id, url, "--overwrite")
    points = run_cli("import-study", url, "--name", f"{finished_job.id}-fixed", "--limit", "1")
    assert '"depth"' in points
