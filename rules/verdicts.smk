# Did it pay? The methods of a task read at every checkpoint, at equal compute.
rule write_verdict:
    input:
        ledgers=verdict_ledgers,
        development=verdict_predictions,
        maps=verdict_maps,
        passes=verdict_passes,
        data=verdict_data,
    output:
        **figure_outputs("verdicts/{verdict}", "verdict"),
        page=report(
            "results/verdicts/{verdict}.html",
            caption="../workflow/report/verdict.rst",
            category="Verdicts",
            labels={"verdict": "{verdict}"},
        ),
        verdict="results/verdicts/{verdict}.json",
    log:
        "logs/write_verdict/{verdict}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_verdict"),
    message:
        "Judge the methods of {wildcards.verdict} at equal compute"
    script:
        "../workflow/scripts/write_verdict.py"


# The first thing to look at, of every task that has tables.
rule verdicts:
    input:
        collect("results/verdicts/{task}.html", task=plan.table_tasks(settings)),
    localrule: True
