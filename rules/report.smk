rule collect_scores:
    input:
        evaluations=scored_evaluations,
        ledgers=scored_ledgers,
        checks=data_checks,
    output:
        "results/scores/{table}.parquet",
    log:
        "logs/collect_scores/{table}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("collect_scores.py", plan.scores_slice),
    message:
        "Score the predictions of all runs behind {wildcards.table}"
    script:
        "../workflow/scripts/collect_scores.py"


rule write_table:
    input:
        scores="results/scores/{table}.parquet",
        ledgers=cost_ledgers,
    output:
        csv=report(
            "results/tables/{table}.csv",
            caption="../workflow/report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "csv"},
        ),
        md="results/tables/{table}.md",
        tex="results/tables/{table}.tex",
    log:
        "logs/write_table/{table}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_table.py", plan.table_slice),
    message:
        "Write {wildcards.table}: mean and standard deviation over seeds, and cost"
    script:
        "../workflow/scripts/write_table.py"
