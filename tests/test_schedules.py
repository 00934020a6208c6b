"""Learning-rate schedules: each formula at hand-computed points, the limits of its fields, JSON and state."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    OnPlateau,
    Schedule,
    StepDecay,
    as_schedule,
    schedule_from_dict,
)
from chainrule.errors import SpecError

EVERY_KIND = [
    Constant(0.1),
    StepDecay(0.1, every=2, factor=0.5),
    ExponentialDecay(0.1, decay=0.9),
    Cosine(0.1, warmup=1.5, final=0.01),
    OneCycle(0.1),
    InverseScaling(0.1),
    OnPlateau(0.1, factor=0.5, patience=1, minimum=0.01, threshold=0.1),
]


def whole(schedule: Schedule, steps_per_epoch: int = 10, epochs: int = 6) -> np.ndarray:
    return schedule.rates(0, steps_per_epoch * epochs, steps_per_epoch, steps_per_epoch * epochs)


def test_every_kind_is_listed() -> None:
    assert {type(schedule) for schedule in EVERY_KIND} == set(Schedule.kinds.values())


@pytest.mark.parametrize("schedule", EVERY_KIND, ids=lambda s: type(s).__name__)
class TestEverySchedule:
    def test_parts_join_to_the_whole(self, schedule: Schedule) -> None:
        rates = whole(schedule)
        parts = [schedule.rates(first, 7, 10, 60)[: 60 - first] for first in range(0, 60, 7)]
        np.testing.assert_array_equal(np.concatenate(parts), rates)
        running = schedule.start(10, 60)
        np.testing.assert_array_equal(np.concatenate([running.rates(0, 25), running.rates(25, 35)]), rates)

    def test_rates_are_positive_and_at_most_the_rate(self, schedule: Schedule) -> None:
        rates = whole(schedule)
        assert rates.dtype == np.float64 and rates.shape == (60,)
        assert np.all(rates > 0) and rates.max() <= 0.1 * (1 + 1e-12)

    def test_json_round_trip(self, schedule: Schedule) -> None:
        saved = json.loads(json.dumps(schedule.to_dict()))
        assert saved["kind"] == type(schedule).__name__
        assert schedule_from_dict(saved) == schedule

    def test_a_single_step_works(self, schedule: Schedule) -> None:
        assert np.isfinite(schedule.rates(0, 1, 1, 1)).all()
        assert schedule.rates(0, 0, 1, 1).shape == (0,)

    @pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
    def test_rate_must_be_finite_and_positive(self, schedule: Schedule, rate: float) -> None:
        fields = {k: v for k, v in schedule.to_dict().items() if k not in ("kind", "final", "minimum")}
        with pytest.raises(SpecError, match=r"'rate' of \w+ must be a finite number above 0"):
            type(schedule)(**fields | {"rate": rate})

    @pytest.mark.parametrize("rate", ["0.1", True, None, [0.1]])
    def test_rate_must_be_a_number(self, schedule: Schedule, rate: object) -> None:
        fields = {k: v for k, v in schedule.to_dict().items() if k not in ("kind", "final", "minimum")}
        with pytest.raises(SpecError, match=r"'rate' of \w+ must be a number"):
            type(schedule)(**fields | {"rate": rate})


def test_step_decay_counts_epochs() -> None:
    rates = whole(StepDecay(0.8, every=2, factor=0.5))
    np.testing.assert_allclose(rates[[0, 19, 20, 39, 40, 59]], [0.8, 0.8, 0.4, 0.4, 0.2, 0.2])


def test_exponential_decay_multiplies_once_an_epoch() -> None:
    rates = whole(ExponentialDecay(0.8, decay=0.5))
    np.testing.assert_allclose(rates[::10], 0.8 * 0.5 ** np.arange(6.0))
    np.testing.assert_allclose(rates[5], 0.8 * math.sqrt(0.5))


def test_exponential_decay_never_reaches_zero() -> None:
    rates = ExponentialDecay(0.1, decay=0.01).rates(0, 1000, 1, 1000)
    assert np.float32(rates[-1]) > 0


def test_cosine_warms_up_then_falls() -> None:
    rates = whole(Cosine(0.4, warmup=1, final=0.1))
    np.testing.assert_allclose(rates[:10], 0.4 * np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10], 0.4)
    np.testing.assert_allclose(rates[35], 0.25)  # half the way down: the mean of 0.4 and 0.1
    assert np.all(np.diff(rates[10:]) < 0) and rates[-1] > 0.1


def test_cosine_may_warm_up_longer_than_the_fit() -> None:
    rates = Cosine(0.4, warmup=10).rates(0, 20, 10, 20)
    np.testing.assert_allclose(rates, 0.4 * np.arange(1, 21) / 100)


def test_one_cycle_agrees_with_its_source() -> None:
    """The values of torch.optim.lr_scheduler.OneCycleLR(max_lr=0.5, total_steps=10), PyTorch 2.13."""
    torch_rates = [0.02, 0.26, 0.5, 0.475242316, 0.405872827, 0.305631011, 0.194370989, 0.094129173, 0.024759684, 2e-06]
    np.testing.assert_allclose(OneCycle(0.5).rates(0, 10, 5, 10), torch_rates, rtol=1e-8)


def test_inverse_scaling_counts_steps() -> None:
    rates = whole(InverseScaling(0.6, power=0.5))
    np.testing.assert_allclose(rates[[0, 3, 8, 35]], [0.6, 0.3, 0.2, 0.1])


class TestOnPlateau:
    def test_lowers_after_patience_and_stops_at_the_minimum(self) -> None:
        running = OnPlateau(1.0, factor=0.1, patience=1, minimum=0.05).start(10, 100)
        seen = []
        for cost in [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]:
            running.observe(cost)
            seen.append(running.rates(0, 2)[1])
        np.testing.assert_allclose(seen, [1, 1, 1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05])

    def test_threshold_is_relative_also_below_zero(self) -> None:
        running = OnPlateau(1.0, factor=0.5, patience=0, threshold=0.1).start(10, 100)
        running.observe(-1.0)
        running.observe(-1.2)
        assert running.rates(0, 1)[0] == 1.0
        running.observe(-1.25)
        assert running.rates(0, 1)[0] == 0.5

    @pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf])
    def test_a_cost_that_is_not_finite_never_improves(self, cost: float) -> None:
        running = OnPlateau(1.0, factor=0.5, patience=0).start(10, 100)
        running.observe(cost)
        assert running.rates(0, 1)[0] == 0.5

    def test_fits_do_not_share_state(self) -> None:
        schedule = OnPlateau(1.0, factor=0.5, patience=0)
        first = schedule.start(10, 100)
        first.observe(math.nan)
        assert schedule.start(10, 100).rates(0, 1)[0] == 1.0
        assert schedule == OnPlateau(1.0, factor=0.5, patience=0)


def test_all_faults_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        StepDecay(-1.0, every=0, factor=2.0)
    assert len(caught.value.faults) == 3
    assert "The 'every' of StepDecay must be an integer of at least 1 (epochs). Got 0 instead." in caught.value.faults


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepDecay(0.1, every=1.5), "'every' of StepDecay must be an integer"),
        (lambda: ExponentialDecay(0.1, decay=0.0), "'decay'"),
        (lambda: Cosine(0.1, warmup=-1), "'warmup'"),
        (lambda: Cosine(0.1, final=0.2), "'final' of Cosine must be from 0 to the rate, 0.1"),
        (lambda: OneCycle(0.1, rise=1.0), "'rise'"),
        (lambda: OneCycle(0.1, divide_start=0.5), "'divide_start'"),
        (lambda: InverseScaling(0.1, power=math.nan), "'power'"),
        (lambda: OnPlateau(0.1, factor=1.0), "'factor'"),
        (lambda: OnPlateau(0.1, patience=-1), "'patience'"),
        (lambda: OnPlateau(0.1, minimum=0.2), "'minimum'"),
        (lambda: OnPlateau(0.1, threshold=math.inf), "'threshold'"),
    ],
)
def test_fields_have_limits(make: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("sizes", [(-1, 1, 1, 1), (0, -1, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0), (0, 1.5, 1, 1)])
def test_steps_are_checked(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(SpecError, match="must be an integer of at least"):
        Constant(0.1).rates(*sizes)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"kind": "Cosin", "rate": 0.1}, "Unknown schedule 'Cosin'. Did you mean 'Cosine'"),
        ({"rate": 0.1}, "Unknown schedule"),
        ({"kind": "Cosine", "rate": 0.1, "warm": 3}, "Did you mean 'warmup'"),
        ({"kind": "StepDecay", "rate": 0.1}, "StepDecay needs the field 'every'"),
    ],
)
def test_a_damaged_description_is_refused(saved: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        schedule_from_dict(saved)


def test_as_schedule() -> None:
    assert as_schedule(np.float32(0.5)) == Constant(0.5)
    assert as_schedule(OneCycle(0.5)) == OneCycle(0.5)
    for wrong in (0.0, -1, math.nan, math.inf, True, "0.1", None):
        with pytest.raises(SpecError, match="learning rate must be a finite number above 0, or a schedule"):
            as_schedule(wrong)


def test_numpy_numbers_become_plain() -> None:
    schedule = StepDecay(np.float32(0.5), every=np.int64(3), factor=np.float64(0.5))  # type: ignore[arg-type]
    assert json.loads(json.dumps(schedule.to_dict()))["every"] == 3


def test_a_schedule_goes_on_from_its_state() -> None:
    plateau = OnPlateau(0.1, factor=0.5, patience=1)
    costs = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0, 1.5, math.nan, 1.5]
    for cut in range(len(costs)):
        whole, part, again = plateau.start(2, 20), plateau.start(2, 20), plateau.start(2, 20)
        for cost in costs[:cut]:
            part.observe(cost)
        again.restore(part.state())
        for k, cost in enumerate(costs):
            whole.observe(cost)
            if k >= cut:
                again.observe(cost)
        assert again.rates(9, 2).tolist() == whole.rates(9, 2).tolist() and again.state() == whole.state()
    assert Cosine(0.1).start(2, 20).state() == {}


def test_epochs_of_a_cooldown_do_not_count() -> None:
    def rates(cooldown: int) -> list[float]:
        schedule = cr.OnPlateau(1.0, factor=0.5, patience=1, cooldown=cooldown).start(1, 100)
        seen = []
        for _ in range(9):
            schedule.observe(1.0)  # the first is the best, no other improves
            seen.append(float(schedule.rates(0, 1)[0]))
        return seen

    assert rates(0) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]
    assert rates(2) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    with pytest.raises(cr.SpecError, match="cooldown"):
        cr.OnPlateau(1.0, cooldown=-1)
