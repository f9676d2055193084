rule download_data:
    output:
        "results/downloads/{task}/{dataset}.parquet",
    log:
        "logs/download_data/{task}/{dataset}.log",
    cache: SHARED
    priority: DATA_FIRST
    retries: 2
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("download_data"),
    message:
        "Download the data set {wildcards.dataset} of {wildcards.task} at its pinned revision"
    script:
        "../workflow/scripts/download_data.py"


rule prepare_data:
    input:
        source=source_files,
        corrections=corrections_file,
    output:
        "results/data/{task}/{dataset}.parquet",
    log:
        "logs/prepare_data/{task}/{dataset}.log",
    cache: SHARED
    priority: DATA_FIRST
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("prepare_data"),
    message:
        "Prepare the data set {wildcards.dataset} of {wildcards.task}"
    script:
        "../workflow/scripts/prepare_data.py"


rule check_data:
    input:
        all_datasets,
    output:
        report="results/checks/{task}.json",
        repeats="results/checks/{task}.repeats.parquet",
    log:
        "logs/check_data/{task}.log",
    priority: DATA_FIRST
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        spec=spec("check_data"),
    message:
        "Check that no training instance of {wildcards.task} reappears in its evaluation sets"
    script:
        "../workflow/scripts/check_data.py"


rule check_lengths:
    input:
        data=all_datasets,
        encoder=multiext("results/encoders/{task}/{model}/", *ENCODER_FILES),
    output:
        "results/checks/{task}/{model}.json",
    log:
        "logs/check_lengths/{task}/{model}.log",
    priority: DATA_FIRST
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        spec=spec("check_lengths"),
    message:
        "Count the rows of {wildcards.task} that are too long for {wildcards.model}"
    script:
        "../workflow/scripts/check_lengths.py"


rule prepare_encoder:
    input:
        train=tokenizer_texts,
    output:
        **encoder_outputs("results/encoders/{task}/{model}"),
        provenance="results/encoders/{task}/{model}/provenance.json",
    log:
        "logs/prepare_encoder/{task}/{model}.log",
    cache: SHARED
    priority: DATA_FIRST
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        spec=spec("prepare_encoder"),
    message:
        "Prepare the encoder {wildcards.model}"
    script:
        "../workflow/scripts/prepare_encoder.py"
