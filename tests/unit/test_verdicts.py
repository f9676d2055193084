"""Verdicts at equal compute: costs by hand, reading at budgets, how often chance is taken for a winner."""

import numpy as np
import pytest

from ftft.statistics.bootstrap import Replicates, resample_scores
from ftft.statistics.verdicts import Curve, band, checkpoint_costs, judge, judged_budgets

RIVALS = {
    "ambiguous": ["ERM", "random", "balanced", "matched"],
    "easy": ["ERM", "random", "balanced", "matched"],
    "balanced": ["ERM", "random"],
}
COSTS = {name: np.array([25.0, 50, 75, 100]) for name in ("ERM", "random", "balanced")}
COSTS |= {name: 40 + COSTS["ERM"] for name in ("ambiguous", "easy", "matched")}


def ledger(flops=1200, passes=60, steps=12, interval=3, early=None):
    outcome = {"steps": steps, "checkpoint_interval": interval}
    cost = {"flops": flops, "evaluation_flops": passes}
    return {"outcome": outcome, "cost": cost, "spec": {"early_stopping": early}}


def test_costs_at_checkpoints_by_hand():
    np.testing.assert_allclose(checkpoint_costs([ledger()], [], [], 4), [315, 630, 945, 1260])
    # The reference runs to its end, where no development score decides; means over two seeds.
    selected = checkpoint_costs([ledger(), ledger(1600)], [ledger(300), ledger(500)], [{"flops": 8}] * 2, 4)
    np.testing.assert_allclose(selected, 408 + np.array([365, 730, 1095, 1460]))
    # By the pass before training alone; by it and the training.
    passes = [{"flops": 70}]
    np.testing.assert_allclose(checkpoint_costs([ledger()], [], [], 1, passes), [430])
    both = checkpoint_costs([ledger()], [ledger(300)], [{"flops": 8}], 1, passes)
    np.testing.assert_allclose(both, [300 + 8 + 70 + 360])
    # A last checkpoint after the last whole interval: 12 steps, taken at 5, 10 and 12.
    np.testing.assert_allclose(
        checkpoint_costs([ledger(interval=5)], [], [], 3), [500 + 20, 1000 + 40, 1200 + 60]
    )
    assert np.isnan(checkpoint_costs([ledger(flops=None)], [], [], 4)).all()


def test_a_curve_is_read_at_the_nearest_checkpoint():
    curve = Curve(np.array([60.0, 80, 100]), ["first", "second", "third"])
    read = [curve.at(budget) for budget in (49, 51, 69, 71, 89, 91, 500)]
    assert read == [None, "first", "first", "second", "second", "third", "third"]
    assert [Curve(np.array([60.0]), ["only"]).at(budget) for budget in (59, 60)] == [None, "only"]


def test_a_method_is_judged_at_quarters():
    np.testing.assert_array_equal(judged_budgets(np.arange(1.0, 13)), [3, 6, 9, 12])
    np.testing.assert_array_equal(judged_budgets(np.array([5.0, 7])), [5, 7])


def page(number, seeds, better=0.0):
    """The leads on one simulated page: accuracies around 0.7, of seeds that differ by 3 points and examples
    that differ in how hard they are. `ambiguous` is above by `better` from the second quarter on.
    """
    generator = np.random.default_rng([number, seeds])
    examples, quarters = 150, 4
    easiness = generator.normal(0.7, 0.15, examples)
    predictions = {}
    for name in COSTS:
        seed_effects = generator.normal(0, 0.03, seeds)
        for quarter in range(quarters):
            gain = better if name == "ambiguous" and quarter else 0.0
            chance = easiness + seed_effects[:, None] + gain
            right = generator.random((seeds, examples)) < chance
            predictions[name, quarter] = dict(enumerate(right.astype(int)))
    scored = resample_scores("dev", np.ones(examples, int), predictions, [], "accuracy", 600)
    curves = {
        name: Curve(costs, [[scored[name, quarter]] for quarter in range(quarters)])
        for name, costs in COSTS.items()
    }
    return judge(curves, RIVALS, 0.95)


def test_chance_wins_at_most_one_page_in_twenty():
    pages = 80
    winners = [any(lead.shown for lead in page(number, seeds=3)) for number in range(pages)]
    assert sum(winners) <= 0.05 * pages


def test_one_seed_shows_nothing():
    assert not any(lead.shown for lead in page(0, 1, better=0.3))


def test_a_large_lead_is_shown_from_its_budget_on():
    leads = [lead for lead in page(0, 8, better=0.3) if lead.shown]
    assert {lead.method for lead in leads} == {"ambiguous"}
    # 40 for the reference, and half of 100.
    assert min(lead.budget for lead in leads) == 90
    assert all(lead.difference.value > 0.2 for lead in leads)


def test_what_has_no_good_run_in_common_is_not_beaten():
    scored = {seed: Replicates("dev", [seed], np.array([0.5]), np.full((50, 1), 0.5)) for seed in (0, 1)}
    curves = {"a": Curve(np.array([50.0]), [[scored[0]]]), "b": Curve(np.array([50.0]), [[scored[1]]])}
    (lead,) = judge(curves, {"a": ["b"]}, 0.95)
    assert lead.difference.seeds == 0 and not lead.shown


def test_the_closest_is_so_in_the_mean_and_all_have_to_be_beaten():
    def curve(*scores):
        observed = np.array(scores)
        generator = np.random.default_rng(0)
        noise = generator.normal(0, 0.001, (400, 1)) + generator.standard_t(2, (400, 3)) * observed.std()
        return Curve(np.array([50.0]), [[Replicates("dev", [0, 1, 2], observed, observed + noise)]])

    curves = {"a": curve(0.8, 0.8, 0.8), "steady": curve(0.7, 0.7, 0.7), "unsteady": curve(0.2, 0.5, 1.0)}
    (lead,) = judge(curves, {"a": ["steady", "unsteady"]}, 0.95)
    assert (lead.rival, lead.shown) == ("steady", False) and lead.difference.low > 0
    (lead,) = judge(curves, {"a": ["steady"]}, 0.95)
    assert lead.shown


def test_a_band_holds_the_mean_of_sets_and_seeds():
    parts = [
        Replicates(name, [0, 1], np.array(observed), np.tile(observed, (500, 1)))
        for name, observed in (("r1", [0.5, 0.7]), ("r2", [0.3, 0.5]))
    ]
    found = band(parts, 0.95)
    assert found.value == pytest.approx(0.5) and found.low < 0.5 < found.high
