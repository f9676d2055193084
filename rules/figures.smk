rule plot_overlap:
    input:
        supervisions=overlapping_supervisions,
        ledgers=overlapping_ledgers,
    output:
        **figure_outputs("{task}/overlap_{group}", "overlap"),
    log:
        "logs/plot_overlap/{task}/{group}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("plot_overlap"),
    message:
        "Plot how far the ambiguous instances of reference models overlap ({wildcards.task}, {wildcards.group})"
    script:
        "../workflow/scripts/plot_overlap.py"


rule plot_gains:
    input:
        gains="results/gains/{table}.parquet",
    output:
        **figure_outputs("gains/{table}", "gains"),
    log:
        "logs/plot_gains/{table}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("plot_gains"),
    message:
        "Plot what labels, lengths and training dynamics give in {wildcards.table}"
    script:
        "../workflow/scripts/plot_gains.py"


rule plot_true_class:
    input:
        dynamics=reference_files("dynamics.parquet"),
        ledgers=reference_files("ledger.json"),
        train=training_set,
    output:
        **figure_outputs("{task}/true_class", "true_class"),
    log:
        "logs/plot_true_class/{task}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("plot_true_class"),
    message:
        "Plot how hard-to-learn and other instances are learnt ({wildcards.task})"
    script:
        "../workflow/scripts/plot_true_class.py"


rule plot_data_map:
    input:
        "results/maps/{task}/{model}/seed{seed}.parquet",
    output:
        **figure_outputs("{task}/data_map/{model}/seed{seed}", "data_map"),
    log:
        "logs/plot_data_map/{task}/{model}/seed{seed}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("plot_data_map"),
    message:
        "Plot the data map of {wildcards.model}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/plot_data_map.py"


rule write_map_page:
    input:
        data_map="results/maps/{task}/{model}/seed{seed}.parquet",
        dynamics="results/runs/{task}/{model}/all/full/seed{seed}/dynamics.parquet",
        train=training_set,
        issues="results/issues/{task}/{model}/seed{seed}.parquet",
    output:
        report(
            "results/maps/{task}/{model}/seed{seed}.html",
            caption="../workflow/report/map_page.rst",
            category="Data maps",
            labels={"task": "{task}", "reference": "{model}", "seed": "{seed}"},
        ),
    log:
        "logs/write_map_page/{task}/{model}/seed{seed}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_map_page"),
    message:
        "Write the page of the data map of {wildcards.model}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/write_map_page.py"


rule plot_training_length:
    input:
        scores="results/scores/training-length-{task}.parquet",
        ledger=length_ledger,
    output:
        **figure_outputs("{task}/training_length", "training_length"),
    log:
        "logs/plot_training_length/{task}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("plot_training_length"),
    message:
        "Plot scores against training length ({wildcards.task})"
    script:
        "../workflow/scripts/plot_training_length.py"


rule plot_learning_curves:
    input:
        trajectories=curve_files("trajectory.parquet"),
        ledgers=curve_ledgers,
    output:
        **figure_outputs("{task}/learning_curves", "learning_curves"),
    log:
        "logs/plot_learning_curves/{task}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("plot_learning_curves"),
    message:
        "Plot learning curves with their stops ({wildcards.task})"
    script:
        "../workflow/scripts/plot_learning_curves.py"
