"""What a method costs, in the paper's unit: the ERM run of one model is 100 (paper, Appendix A.2)."""


def parameter_millions(ledgers: dict[str, dict], configured: dict[str, float | None]) -> dict[str, float]:
    """Millions of parameters by model, all by one convention.

    As configured, if every model has such an entry; else counted, without input embeddings.
    `ledgers` holds one ledger per model.
    """
    if all(configured.get(model) for model in ledgers):
        return {model: configured[model] for model in ledgers}
    return {
        model: ledger["cost"]["parameters"]["without_embeddings"] / 1e6 for model, ledger in ledgers.items()
    }


def method_cost(main: float, unit: float, share: float = 1.0, reference: float = 0.0) -> float:
    """Cost of a main run that consumed `share` of its planned checkpoints, and of its reference run.

    `main`, `unit`, `reference` are parameter counts of the main model, the model whose ERM run is
    100, and the reference model (0 for none). FLOPs are 6ND with one D for all runs; a reference
    run always goes to its end.
    """
    # With four decimals of the share all figures of the paper come out (Table 5: 108.40, not 108.41).
    return 100 * (reference + round(share, 4) * main) / unit


def consumed_share(ledger: dict) -> float:
    """Checkpoints that a run trained for, over those it planned."""
    return ledger["outcome"]["consumed_checkpoints"] / ledger["outcome"]["planned_checkpoints"]
