"""Workers are given jobs of the network families that they can build, and go past all others."""

import pytest

from service.store import Store, claims
from shrinknets.wire import ClaimRequest, JobState
from tests.service import hands
from tests.service.test_metrics import counted_statements


def given(store: Store, *asked: ClaimRequest) -> list[str | None]:
    with store.writing() as tx:
        found = claims.claim_jobs(tx, asked, lease_seconds=60)
    return [claim and claim.job.id for claim in found]


def test_a_worker_that_has_not_told_gets_perceptrons_alone(store: Store) -> None:
    hands.submit(store, family="lenet5", priority=9)
    mlp = hands.submit(store)
    assert given(store, hands.asking("w")) == [mlp]
    assert given(store, hands.asking("w")) == [None]
    assert given(store, ClaimRequest(worker="w", families=())) == [None]


def test_a_worker_goes_past_jobs_that_it_cannot_run(store: Store) -> None:
    own, lenet, mlp = (hands.submit(store, family=name) for name in ("own", "lenet5", "mlp"))
    worker = hands.asking("w", "lenet5", "vgg11")
    assert [given(store, worker)[0] for _ in range(3)] == [lenet, mlp, None]
    assert hands.job_state(store, own) is JobState.QUEUED
    assert given(store, hands.asking("other", "own")) == [own]


def test_what_a_worker_can_run_comes_in_the_order_of_the_queue(store: Store) -> None:
    low = hands.submit(store, family="lenet5")
    first, _, second = (
        hands.submit(store, family=name, priority=priority)
        for name, priority in (("mlp", 3), ("own", 9), ("lenet5", 3))
    )
    worker = hands.asking("w", "lenet5")
    assert given(store, *[worker] * 4) == [first, second, low, None]


def test_of_workers_of_several_kinds_those_in_the_middle_may_go_without(store: Store) -> None:
    own, lenet = hands.submit(store, family="own"), hands.submit(store, family="lenet5")
    asked = [
        hands.asking("a"),
        hands.asking("b", "lenet5"),
        hands.asking("c"),
        hands.asking("d", "lenet5"),
        hands.asking("e", "own", "lenet5"),
    ]
    assert given(store, *asked) == [None, lenet, None, None, own]


def test_a_job_that_several_kinds_can_run_is_given_once(store: Store) -> None:
    kinds = [(), ("lenet5",), ("own",), ("own", "lenet5")]
    jobs = [hands.submit(store) for _ in range(6)]
    asked = [hands.asking(f"w{n}", *kinds[n % 4]) for n in range(8)]
    # Kind by kind in the order in which their first asked.
    first, second, third, fourth, fifth, sixth = jobs
    assert given(store, *asked) == [first, third, fifth, None, second, fourth, sixth, None]


def test_the_same_families_are_one_kind_in_whatever_order_they_are_told(store: Store) -> None:
    jobs = [hands.submit(store) for _ in range(3)]
    asked = [
        hands.asking("a", "lenet5", "own"),
        hands.asking("b", "own", "mlp", "lenet5"),
        hands.asking("c", "mlp", "own", "lenet5"),
    ]
    with counted_statements(store) as statements:
        assert given(store, *asked) == jobs
    assert sum(statement.startswith("SELECT jobs.id") for statement in statements) == 1


@pytest.mark.parametrize("num_kinds", [1, 2, 3])
def test_a_batch_takes_one_statement_for_each_kind_of_workers(store: Store, num_kinds: int) -> None:
    for _ in range(32):
        hands.submit(store)
    asked = [hands.asking(f"w{n}", f"own{n % num_kinds}") for n in range(32)]
    with counted_statements(store) as statements:
        assert None not in given(store, *asked)
    told = [
        line for line in statements if not line.lstrip().startswith(("BEGIN", "INSERT", "WITH"))
    ]
    assert len(told) == num_kinds + 1


def test_who_goes_without_holds_no_job_back_from_others(store: Store, dialect: str) -> None:
    if dialect == "sqlite":
        pytest.skip("one transaction at a time writes")
    lenet = hands.submit(store, family="lenet5")
    mlp, more = hands.submit(store), hands.submit(store, family="lenet5")
    with store.writing() as tx:
        asked = [hands.asking("a"), hands.asking("b"), hands.asking("c", "lenet5")]
        mine = claims.claim_jobs(tx, asked, lease_seconds=60)
        assert [claim and claim.job.id for claim in mine] == [mlp, None, lenet]
        assert given(store, hands.asking("d", "lenet5")) == [more]


def test_a_job_that_comes_back_keeps_its_family(store: Store) -> None:
    job_id = hands.submit(store, family="lenet5")
    assert hands.find_claim(store, seconds=hands.OVER, families=("lenet5",)) is not None
    hands.expire(store)
    assert hands.find_claim(store) is None
    claim = hands.find_claim(store, families=("lenet5",))
    assert claim is not None
    assert claim.job.id == job_id
