rule write_preflight:
    input:
        maps=candidate_maps,
        ledgers=candidate_ledgers,
        dynamics=candidate_dynamics,
        train=training_set,
        encoders=counted_encoders,
    output:
        page=report(
            "results/preflight/{task}.html",
            caption="../workflow/report/preflight.rst",
            category="Preflight",
            labels={"task": "{task}"},
        ),
        csv="results/preflight/{task}.csv",
        classes="results/preflight/{task}.classes.csv",
    log:
        "logs/write_preflight/{task}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_preflight"),
    message:
        "Measure what the reference runs of {wildcards.task} showed, and rank them"
    script:
        "../workflow/scripts/write_preflight.py"
