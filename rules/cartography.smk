rule build_data_map:
    input:
        dynamics="results/runs/{task}/{model}/full/full/seed{seed}/dynamics.parquet",
        train=training_set,
    output:
        data_map="results/maps/{task}/{model}/seed{seed}.parquet",
        ledger="results/maps/{task}/{model}/seed{seed}.json",
    log:
        "logs/build_data_map/{task}/{model}/seed{seed}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("build_data_map.py", slices.map_slice),
    message:
        "Build the data map of {wildcards.model}: confidence, variability, correctness, seed {wildcards.seed}"
    script:
        "../workflow/scripts/build_data_map.py"


rule select_instances:
    input:
        data_map=selection_source,
        train=training_set,
    output:
        selection="results/selections/{task}/{selection}/seed{seed}.parquet",
        ledger="results/selections/{task}/{selection}/seed{seed}.json",
    log:
        "logs/select_instances/{task}/{selection}/seed{seed}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("select_instances.py", slices.selection_slice),
    message:
        "Select the training instances {wildcards.selection}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/select_instances.py"
