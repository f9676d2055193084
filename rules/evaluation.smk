rule evaluate:
    input:
        model=multiext("results/runs/{task}/{model}/{supervision}/{budget}/seed{seed}/model/", *ENCODER_FILES),
        encoder=adapted_encoder,
        dataset="results/data/{task}/{dataset}.parquet",
    output:
        "results/evaluations/{task}/{model}/{supervision}/{budget}/seed{seed}/{dataset}.parquet",
    log:
        "logs/evaluate/{task}/{model}/{supervision}/{budget}/seed{seed}/{dataset}.log",
    cache: SHARED
    priority: SCORES_SOON
    conda:
        "../envs/train.yaml"
    threads: settings.runtime.threads
    resources:
        gpu=GPUS,
        mem_mb=memory,
        runtime=minutes,
    params:
        spec=spec("evaluate"),
    message:
        "Evaluate {wildcards.model} trained on {wildcards.supervision} ({wildcards.budget}) on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/evaluate.py"
