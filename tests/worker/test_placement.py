"""How attempts are shared out among devices, and what their processes are told."""

import sys
from pathlib import Path

import pytest
import torch

from worker.device import Device, Kind, choose_devices, look_at_machine
from worker.engines import LocalEngine, Placement
from worker.engines.placement import memory_fraction
from worker.trial.environment import TrialEnvironment

CARDS = [
    Device(kind=Kind.CUDA, name="card", card=f"GPU-{number}", memory_mib=16_000)
    for number in range(3)
]
CPU = Device(kind=Kind.CPU, name="8 cores")
PROGRAMS = Path(__file__).parent / "programs"


def card_of(placement: Placement, attempt_id: str) -> str:
    return placement.take(attempt_id)["CUDA_VISIBLE_DEVICES"]


def test_the_least_loaded_card_is_next_and_of_equals_the_first() -> None:
    placement = Placement(CARDS, slots=2, threads=1)
    assert placement.num_slots == 6
    assert [card_of(placement, name) for name in "abcde"] == [
        *("GPU-0", "GPU-1", "GPU-2", "GPU-0", "GPU-1"),
    ]
    placement.release("c")
    assert card_of(placement, "f") == "GPU-2"
    placement.release("b")
    placement.release("e")
    assert [card_of(placement, name) for name in "gh"] == ["GPU-1", "GPU-1"]


def test_what_is_still_dying_counts_and_an_unknown_end_does_not() -> None:
    placement = Placement(CARDS[:2], slots=1, threads=1)
    assert [card_of(placement, name) for name in "abc"] == ["GPU-0", "GPU-1", "GPU-0"]
    placement.release("never there")
    assert card_of(placement, "d") == "GPU-1"


def test_a_trial_sees_its_card_alone_and_keeps_to_its_share_of_the_memory() -> None:
    variables = Placement(CARDS, slots=4, threads=3).take("a")
    told = TrialEnvironment.read(
        {**variables, "SHRINKNETS_URL": "u", "SHRINKNETS_ATTEMPT": "a", "SHRINKNETS_TOKEN": "t"}
    )
    assert variables["CUDA_VISIBLE_DEVICES"] == "GPU-0"
    assert (told.device, told.threads) == ("cuda:0", 3)
    assert told.memory_fraction == pytest.approx((16_000 - 4 * 600) / 16_000 / 4, abs=1e-4)
    alone = Placement(CARDS, slots=1, threads=3).take("a")
    assert "SHRINKNETS_MEMORY_FRACTION" not in alone


def test_shares_of_a_card_leave_room_for_what_each_process_needs_besides() -> None:
    unknown = Device(kind=Kind.CUDA, name="part of a card", card="MIG-1")
    assert 4 * memory_fraction(unknown, 4) == pytest.approx(0.9)
    assert 20 * memory_fraction(CARDS[0], 20) == pytest.approx(0.5)


def test_on_the_processor_no_card_is_visible() -> None:
    assert Placement([CPU], slots=2, threads=4).take("a") == {
        "CUDA_VISIBLE_DEVICES": "",
        "SHRINKNETS_DEVICE": "cpu",
        "SHRINKNETS_THREADS": "4",
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_real_processes_are_told_and_keep_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROGRAMS))
    placement = Placement(CARDS[:2], slots=1, threads=2)
    engine = LocalEngine(folder=tmp_path, threads=2, placement=placement, module="placed")
    try:
        for attempt_id in ("a", "b"):
            engine.start(attempt_id, {"BEHAVIOUR": "tell its place"})
        ended = {}
        while engine.running():
            ended |= {gone.attempt_id: gone.last_lines for gone in engine.wait(30)}
        assert ended == {"a": "GPU-0 cuda:0 threads 2 1", "b": "GPU-1 cuda:0 threads 2 1"}
        assert placement.take("c")["CUDA_VISIBLE_DEVICES"] == "GPU-0"
    finally:
        engine.close()


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_two_trials_on_one_card_each_get_half_of_it_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROGRAMS))
    devices = choose_devices("cuda:0", look_at_machine())
    before = torch.cuda.mem_get_info(0)[0]
    engine = LocalEngine(
        folder=tmp_path,
        threads=1,
        placement=Placement(devices, slots=2, threads=1),
        module="placed",
    )
    try:
        for attempt_id in ("a", "b"):
            engine.start(attempt_id, {"BEHAVIOUR": "fill the card"})
        ended = []
        while engine.running():
            ended += [gone.last_lines for gone in engine.wait(120)]
        assert ended == ["1 card, out of memory at 0.5"] * 2
    finally:
        engine.close()
    assert torch.cuda.mem_get_info(0)[0] >= before - 64 * 2**20
