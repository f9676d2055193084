rule write_preflight:
    input:
        maps=candidate_maps,
        ledgers=candidate_ledgers,
        encoders=counted_encoders,
    output:
        page=report(
            "results/preflight/{task}.html",
            caption="../workflow/report/preflight.rst",
            category="Preflight",
            labels={"task": "{task}"},
        ),
        csv="results/preflight/{task}.csv",
    log:
        "logs/write_preflight/{task}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_preflight"),
    message:
        "Judge from the reference runs of {wildcards.task} what transfers promise"
    script:
        "../workflow/scripts/write_preflight.py"


rule write_verdicts:
    input:
        scores=judged_scores(),
        preflights=collect("results/preflight/{task}.csv", task=plan.judged_tasks(config)),
    output:
        **table_outputs("verdicts", "verdicts"),
    log:
        "logs/write_verdicts.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_verdicts"),
    message:
        "Compare the verdicts of preflight with what the transfers did"
    script:
        "../workflow/scripts/write_verdicts.py"
