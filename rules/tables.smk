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
        spec=spec("collect_scores"),
    message:
        "Score the predictions of all runs behind {wildcards.table}"
    script:
        "../workflow/scripts/collect_scores.py"


rule compare_methods:
    input:
        evaluations=scored_evaluations,
        ledgers=scored_ledgers,
    output:
        comparisons="results/comparisons/{table}.parquet",
        view="results/comparisons/{table}.csv",
    log:
        "logs/compare_methods/{table}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("compare_methods"),
    message:
        "Compare the rows of {wildcards.table} with ERM: paired bootstrap, Holm correction"
    script:
        "../workflow/scripts/compare_methods.py"


rule split_gains:
    input:
        evaluations=scored_evaluations,
        ledgers=scored_ledgers,
    output:
        gains="results/gains/{table}.parquet",
        view="results/gains/{table}.csv",
    log:
        "logs/split_gains/{table}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("split_gains"),
    message:
        "Split the gains of {wildcards.table} into labels, lengths and training dynamics"
    script:
        "../workflow/scripts/split_gains.py"


rule describe_selections:
    input:
        train=training_set_of_table,
        supervisions=selections_of_table,
    output:
        csv=report(
            "results/selections/{table}.csv",
            caption="../workflow/report/selections.rst",
            category="Tables",
            labels={"table": "{table}", "format": "selections"},
        ),
        md="results/selections/{table}.md",
        tex="results/selections/{table}.tex",
    log:
        "logs/describe_selections/{table}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("describe_selections"),
    message:
        "Describe what the selections of {wildcards.table} hold: rows, lengths, labels"
    script:
        "../workflow/scripts/describe_selections.py"


rule write_table:
    input:
        scores="results/scores/{table}.parquet",
        comparisons="results/comparisons/{table}.parquet",
        gains=gains_of_table,
        checks=data_checks,
        ledgers=cost_ledgers,
        supervisions=supervision_ledgers,
        maps=map_ledgers,
    output:
        **table_outputs("{table}", "table"),
        costs="results/tables/{table}.costs.csv",
        provenance="results/tables/{table}.provenance.json",
    log:
        "logs/write_table/{table}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_table"),
    message:
        "Write {wildcards.table}: mean and standard deviation over seeds, and cost"
    script:
        "../workflow/scripts/write_table.py"


rule write_model_costs:
    input:
        ledgers=run_files(plan.all_erm_runs(settings), "ledger.json"),
    output:
        **table_outputs("table3", "model_costs"),
    log:
        "logs/write_model_costs.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_model_costs"),
    message:
        "Write Table 3: what fine-tuning each model costs"
    script:
        "../workflow/scripts/write_model_costs.py"


rule write_easy_shares:
    input:
        maps=map_files(plan.all_reference_runs(settings)),
        ledgers=run_files(plan.all_reference_runs(settings), "ledger.json"),
    output:
        **table_outputs("table4", "easy_share"),
    log:
        "logs/write_easy_shares.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_easy_shares"),
    message:
        "Write Table 4: the share of easy instances by reference model"
    script:
        "../workflow/scripts/write_easy_shares.py"


rule write_patience:
    input:
        trajectories=run_files(plan.full_runs(settings), "trajectory.parquet"),
        ledgers=run_files(plan.full_runs(settings), "ledger.json"),
    output:
        **table_outputs("patience", "patience"),
    log:
        "logs/write_patience.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_patience"),
    message:
        "Read the full runs early, at every patience"
    script:
        "../workflow/scripts/write_patience.py"


rule write_claims:
    input:
        evaluations=evaluation_files(plan.claim_runs(settings)),
        ledgers=run_files(plan.with_references(plan.claim_runs(settings), settings), "ledger.json"),
    output:
        **table_outputs("claims", "claims"),
    log:
        "logs/write_claims.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_claims"),
    message:
        "Decide the claims of the paper's prose on these runs"
    script:
        "../workflow/scripts/write_claims.py"
