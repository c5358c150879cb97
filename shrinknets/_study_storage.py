"""Studies in Optuna's own tables, each written in one transaction.

Optuna adds a trial by a query for each of its numbers, which for 1,000 trials of 100 epochs are
100 seconds of computing. So rows are made of Optuna's own models, but inserted many at once.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb import storage as rdb
from optuna.trial import FrozenTrial

from shrinknets._study import StudyError, _quiet


def write(studies: Sequence[optuna.Study], url: str, *, overwrite: bool) -> list[str]:
    """Write studies under their names. Raises StudyError; then nothing of them was written."""
    with _explained(url), _quiet(optuna):
        storage = RDBStorage(url)
        try:
            names = [study.study_name for study in studies]
            there = set(names) & set(optuna.get_all_study_names(storage))
            if there and not overwrite:
                raise StudyError(
                    f"{url} has {' and '.join(sorted(there))} already: "
                    "choose another file, or overwrite"
                )
            for name in sorted(there):
                _delete(name, storage)
            for study in studies:
                _write_one(study, storage)
            return names
        finally:
            storage.remove_session()
            storage.engine.dispose()


def read(url: str, name: str | None) -> optuna.Study:
    """Load a study; the only one, where none is named. Raises StudyError."""
    with _explained(url), _quiet(optuna):
        storage = RDBStorage(url)
        try:
            names = optuna.get_all_study_names(storage)
            if name not in names and (name is not None or len(names) != 1):
                known = ", ".join(names[:20]) or "none"
                wanted = "no single study" if name is None else f"no study {name!r}"
                raise StudyError(f"{url} has {wanted}: there are {known}")
            loaded = optuna.load_study(study_name=name or names[0], storage=storage)
            # Its trials must not need a connection that is closed by then.
            copied = optuna.create_study(directions=loaded.directions)
            copied.add_trials(loaded.get_trials(deepcopy=False))
            return copied
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _delete(name: str, storage: RDBStorage) -> None:
    """Optuna would read every number of every trial before it deletes it."""
    study_id = storage.get_study_id_from_name(name)
    trials = models.TrialModel.__table__
    ids = trials.select().with_only_columns(trials.c.trial_id).where(trials.c.study_id == study_id)
    with storage.scoped_session() as session, session.begin():
        for model in _CHILDREN:
            table = model.__table__
            session.execute(table.delete().where(table.c.trial_id.in_(ids)))
    optuna.delete_study(study_name=name, storage=storage)


def _write_one(study: optuna.Study, storage: RDBStorage) -> None:
    made = optuna.create_study(
        study_name=study.study_name, storage=storage, directions=study.directions
    )
    made.set_metric_names(study.metric_names or [])
    for name, value in study.user_attrs.items():
        made.set_user_attr(name, value)
    with storage.scoped_session() as session, session.begin():
        trials = study.get_trials(deepcopy=False)
        rows = [_row(trial, made._study_id) for trial in trials]  # noqa: SLF001
        session.add_all(rows)
        session.flush()
        ids = [row.trial_id for row in rows]
        for model, make in _CHILDREN.items():
            children = [
                {"trial_id": trial_id, **fields}
                for trial_id, trial in zip(ids, trials, strict=True)
                for fields in make(trial)
            ]
            if children:
                session.execute(model.__table__.insert(), children)


def _row(trial: FrozenTrial, study_id: int) -> Any:
    return models.TrialModel(
        study_id=study_id,
        number=trial.number,
        state=trial.state,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
    )


def _values(trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    for objective, value in enumerate(trial.values or []):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        yield {"objective": objective, "value": stored, "value_type": kind}


def _params(trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    for name, value in trial.params.items():
        distribution = trial.distributions[name]
        yield {
            "param_name": name,
            "param_value": distribution.to_internal_repr(value),
            "distribution_json": distribution_to_json(distribution),
        }


def _attributes(trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    for key, value in trial.user_attrs.items():
        yield {"key": key, "value_json": json.dumps(value)}


def _intermediate(trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    stored_repr = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    for step, value in trial.intermediate_values.items():
        stored, kind = stored_repr(value)
        yield {"step": step, "intermediate_value": stored, "intermediate_value_type": kind}


_CHILDREN: dict[Any, Any] = {
    models.TrialValueModel: _values,
    models.TrialParamModel: _params,
    models.TrialUserAttributeModel: _attributes,
    models.TrialIntermediateValueModel: _intermediate,
}


# Optuna's own name for it: this package knows no SQL.
_SQLAlchemyError: type[Exception] = rdb.sqlalchemy_exc.SQLAlchemyError  # type: ignore[attr-defined]


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except (OptunaError, _SQLAlchemyError, ImportError, RuntimeError) as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        raise StudyError(f"the storage {url} cannot be used: {cause}") from error
