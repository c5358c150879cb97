"""The orders that lists can be asked for in; a `-` turns one round."""

from enum import StrEnum


class JobSort(StrEnum):
    """By what jobs are sorted; jobs without a value come last."""

    CREATED = "created"
    CREATED_DESC = "-created"
    ENDED = "ended"
    ENDED_DESC = "-ended"
    STATE = "state"
    STATE_DESC = "-state"
    PRIORITY = "priority"
    PRIORITY_DESC = "-priority"


class TrialSort(StrEnum):
    """By what trials are sorted; trials without a value come last."""

    CREATED = "created"
    CREATED_DESC = "-created"
    METHOD = "method"
    METHOD_DESC = "-method"
    NUMBER = "number"
    NUMBER_DESC = "-number"
    STATE = "state"
    STATE_DESC = "-state"
    SEED = "seed"
    SEED_DESC = "-seed"
    EPOCHS = "epochs"
    EPOCHS_DESC = "-epochs"
    TRAIN_SECONDS = "train_seconds"
    TRAIN_SECONDS_DESC = "-train_seconds"
    VALIDATION_ACCURACY = "validation_accuracy"
    VALIDATION_ACCURACY_DESC = "-validation_accuracy"
    PARAMETERS = "parameters"
    PARAMETERS_DESC = "-parameters"
    STARTED = "started"
    STARTED_DESC = "-started"
    ENDED = "ended"
    ENDED_DESC = "-ended"


class DatasetSort(StrEnum):
    """By what data sets are sorted."""

    CREATED = "created"
    CREATED_DESC = "-created"
    NAME = "name"
    NAME_DESC = "-name"
    ROWS = "rows"
    ROWS_DESC = "-rows"


class NetworkSort(StrEnum):
    """By what networks are sorted."""

    FOUND = "found"
    FOUND_DESC = "-found"
    PARAMETERS = "parameters"
    PARAMETERS_DESC = "-parameters"
    MACS = "macs"
    MACS_DESC = "-macs"
    VALIDATION_ACCURACY = "validation_accuracy"
    VALIDATION_ACCURACY_DESC = "-validation_accuracy"
    TEST_ACCURACY = "test_accuracy"
    TEST_ACCURACY_DESC = "-test_accuracy"
