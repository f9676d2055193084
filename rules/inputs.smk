# What rules read and write: input functions, outputs in several forms, the targets of `paper`.


def data_files(task, names):
    return collect("results/data/{task}/{dataset}.parquet", task=task, dataset=names)


def run_files(runs, name):
    return collect("results/runs/{run.path}/{name}", run=runs, name=name)


def evaluation_files(runs):
    return [
        f"results/evaluations/{run.path}/{dataset}.parquet"
        for run in runs
        for dataset in settings.tasks[run.task].evaluate
    ]


def map_files(runs):
    return collect("results/maps/{run.task}/{run.model}/seed{run.seed}.parquet", run=runs)


def source_files(wildcards):
    dataset = settings.tasks[wildcards.task].datasets.get(wildcards.dataset)
    if dataset and registry.DATA_SOURCES[dataset.source].reads_path:
        # By its content, which is in the parameter, and not by its age; local, as no prefix of a module
        # stands before it.
        return ancient(local(dataset.path))
    if dataset and registry.DATA_SOURCES[dataset.source].downloads:
        return "results/downloads/{task}/{dataset}.parquet"
    return []


def corrections_file(wildcards):
    dataset = settings.tasks[wildcards.task].datasets.get(wildcards.dataset)
    return ancient(local(dataset.corrections)) if dataset and dataset.corrections else []


def tokenizer_texts(wildcards):
    if settings.models[wildcards.model].source != "scratch":
        return []
    return training_set(wildcards)


def all_datasets(wildcards):
    return data_files(wildcards.task, settings.tasks[wildcards.task].used_datasets)


def length_checks():
    return [
        f"results/checks/{task}/{model}.json"
        for task in plan.working_tasks(settings)
        for model in plan.task_models(settings, task)
    ]


def training_set(wildcards):
    return f"results/data/{wildcards.task}/{settings.tasks[wildcards.task].train}.parquet"


def development_sets(wildcards):
    return data_files(wildcards.task, settings.tasks[wildcards.task].development_sets)


def supervision_file(wildcards):
    if wildcards.supervision == plan.ALL_DATA:
        return []
    return "results/supervisions/{task}/{supervision}/seed{seed}.parquet"


def adapted_encoder(wildcards):
    """What a kept adapter is put on again: its encoder; nothing for models that are trained whole."""
    if not settings.models[wildcards.model].adapter:
        return []
    folder = f"results/encoders/{wildcards.task}/{wildcards.model}"
    return collect("{folder}/{file}", folder=folder, file=ENCODER_FILES)


def finetuned_encoder(wildcards):
    """The encoder of the model that is taken home."""
    folder = f"results/encoders/{wildcards.task}/{settings.finetune[wildcards.task].main}"
    return collect("{folder}/{file}", folder=folder, file=ENCODER_FILES)


def reference_ledger(wildcards):
    """The ledger of the reference run behind a supervision: it stops a training, and is no part of one."""
    reference = plan.trained_reference(wildcards.supervision, settings)
    if reference is None:
        return []
    return ancient(f"results/runs/{wildcards.task}/{reference}/all/full/seed{wildcards.seed}/ledger.json")


def reference_map(wildcards):
    """The data map of the reference; none where a supervision goes by scores from before its training."""
    reference = plan.trained_reference(wildcards.supervision, settings)
    return f"results/maps/{wildcards.task}/{reference}/seed{wildcards.seed}.parquet" if reference else []


def reference_scores(wildcards):
    reference = plan.Supervision.parse(wildcards.supervision).reference
    scores = slices.further_scores(settings, wildcards.supervision)
    folder = f"results/maps/{wildcards.task}/{reference}"
    return collect("{folder}/seed{seed}.{score}.parquet", folder=folder, seed=wildcards.seed, score=scores)


def reference_dynamics(wildcards):
    """Training dynamics of the reference, where the supervision is made from more than its map and scores."""
    if not slices.signals_read(settings, wildcards.supervision):
        return []
    reference = plan.Supervision.parse(wildcards.supervision).reference
    return f"results/runs/{wildcards.task}/{reference}/all/full/seed{wildcards.seed}/dynamics.parquet"


def scored_dynamics(wildcards):
    """What a score is taken from: none of the training where the pass before it is enough."""
    if not registry.needs_dynamics(wildcards.score):
        return []
    return "results/runs/{task}/{model}/all/full/seed{seed}/dynamics.parquet"


def pass_before_training(wildcards):
    """What the model gave before its training, where a score is taken from that."""
    before = registry.goes_by_the_untrained([wildcards.score])
    return "results/before/{task}/{model}.parquet" if before else []


def ledger_of_the_pass(task, supervision):
    """What the pass before training took, where a supervision goes by it."""
    reference = plan.Supervision.parse(supervision).reference
    before = registry.goes_by_the_untrained(slices.further_scores(settings, supervision))
    return f"results/before/{task}/{reference}.json" if before else []


def ledger_before_training(wildcards):
    return ledger_of_the_pass(wildcards.task, wildcards.supervision)


def table(wildcards):
    try:
        return compare.table_of(settings, wildcards.table)
    except KeyError:
        raise WorkflowError(
            f"{wildcards.table}: this configuration has no task and models for it\n"
            "  what to do: name them after the paper's, or set stands_for (config/README.md)"
        ) from None


def table_runs(wildcards):
    return plan.table_runs(table(wildcards), settings)


def scored_evaluations(wildcards):
    return evaluation_files(table_runs(wildcards))


def scored_ledgers(wildcards):
    return run_files(plan.with_references(table_runs(wildcards), settings), "ledger.json")


def data_checks(wildcards):
    return f"results/checks/{table(wildcards).task}.json"


def gains_of_table(wildcards):
    """How the gains of a table's selections are split, where it has their controls."""
    return "results/gains/{table}.parquet" if plan.gain_parts(table(wildcards), settings) else []


def training_set_of_table(wildcards):
    return training_set(table(wildcards))


def selections_of_table(wildcards):
    return [run.files()["supervision"] for _, run in plan.selecting_runs(table(wildcards), settings)]


def cost_ledgers(wildcards):
    return run_files(plan.cost_runs(table(wildcards), settings), "ledger.json")


def supervision_ledgers(wildcards):
    files = [run.files().get("supervision_ledger") for run in table_runs(wildcards)]
    return list(dict.fromkeys(filter(None, files)))


def map_ledgers(wildcards):
    runs = plan.table_reference_runs(table(wildcards), settings)
    return collect("results/maps/{run.task}/{run.model}/seed{run.seed}.json", run=runs)


def further_tables():
    """The tables that are not about methods, as far as this configuration has something to show in them."""
    if not settings.tables:
        return []
    decidable = ["claims"] if plan.claims(settings) else []
    return ["table3", "patience", *(["table4"] if plan.all_reference_runs(settings) else []), *decidable]


def described_selections():
    selecting = [name for name, table in settings.tables.items() if plan.selecting_runs(table, settings)]
    return collect("results/selections/{table}.csv", table=selecting)


def table_outputs(name, caption):
    """A table as CSV (in the report), Markdown and LaTeX."""
    return {
        "csv": report(
            f"results/tables/{name}.csv",
            caption=f"../workflow/report/{caption}.rst",
            category="Tables",
            labels={"table": name, "format": "csv"},
        ),
        "md": f"results/tables/{name}.md",
        "tex": f"results/tables/{name}.tex",
    }


def figure_outputs(name, caption):
    """A figure as SVG (in the report) and PNG, and its source data as CSV."""
    return {
        "svg": report(
            f"results/figures/{name}.svg",
            caption=f"../workflow/report/{caption}.rst",
            category="Figures",
            labels={"figure": name},
        ),
        "png": f"results/figures/{name}.png",
        "csv": f"results/figures/{name}.csv",
    }


def all_figures():
    """The figures that this configuration has something to show in."""
    split = [name for name, table in settings.tables.items() if plan.gain_parts(table, settings)]
    files = collect("results/figures/gains/{table}.svg", table=split)
    for task in plan.table_tasks(settings):
        references = plan.task_reference_runs(settings, task)
        names = [f"overlap_{group}" for group in plan.overlap_groups(settings, task)]
        names += ["true_class"] if references else []
        names += ["learning_curves"] if plan.curve_runs(settings, task) else []
        names += ["training_length"] if task in settings.figures.training_length else []
        first = settings.seeds[0]
        shown = [run for run in references if run.seed == first]
        names += [f"data_map/{run.model}/seed{run.seed}" for run in shown]
        files += collect("results/figures/{task}/{name}.svg", task=task, name=names)
        files += collect("results/maps/{run.task}/{run.model}/seed{run.seed}.html", run=shown)
    return files


def candidate_maps(wildcards):
    return map_files(plan.preflight_runs(settings, wildcards.task))


def candidate_ledgers(wildcards):
    return run_files(plan.preflight_runs(settings, wildcards.task), "ledger.json")


def candidate_dynamics(wildcards):
    return run_files(plan.preflight_runs(settings, wildcards.task), "dynamics.parquet")


def counted_encoders(wildcards):
    """The encoders whose parameters a preflight counts: none where all sizes are configured."""
    sizes = slices.preflight_slice(settings, wildcards.task)["parameters_m"]
    if all(sizes.values()):
        return []
    files = ["config.json", "model.safetensors"]
    return collect("results/encoders/{task}/{model}/{file}", task=wildcards.task, model=sizes, file=files)


def overlapping_supervisions(wildcards):
    return plan.overlap_supervisions(settings, wildcards.task, wildcards.group)


def overlapping_ledgers(wildcards):
    return run_files(plan.overlap_runs(settings, wildcards.task, wildcards.group), "ledger.json")


def hub_files():
    """What comes from the hub for the tasks in use: data sets and encoders, at their revisions."""
    hub_models = [name for name, model in settings.models.items() if model.source == "hub"]
    files = collect(
        "results/encoders/{task}/{model}/config.json", task=plan.working_tasks(settings), model=hub_models
    )
    for task_name in plan.working_tasks(settings):
        task = settings.tasks[task_name]
        from_hub = [name for name in task.used_datasets if task.datasets[name].source == "hub"]
        files += collect("results/downloads/{task}/{dataset}.parquet", task=task_name, dataset=from_hub)
    return files


def finetuned_cards():
    return collect("results/finetuned/{task}/README.md", task=settings.finetune)


def finetune_files(name):
    def files(wildcards):
        return run_files(plan.finetune_runs(settings, wildcards.task), name)

    return files


def finetune_models(wildcards):
    runs = plan.finetune_runs(settings, wildcards.task)
    return collect("results/runs/{run.path}/model/{file}", run=runs, file=ENCODER_FILES)


def finetune_evaluations(wildcards):
    return evaluation_files(plan.finetune_runs(settings, wildcards.task))


def finetune_reference_ledgers(wildcards):
    return run_files(plan.finetune_references(settings, wildcards.task), "ledger.json")


def finetune_pass(wildcards):
    row = plan.finetune_row(settings, wildcards.task)
    return ledger_of_the_pass(wildcards.task, plan.row_supervision(row, settings))


def issue_files(wildcards):
    runs = plan.issue_runs(settings, wildcards.task)
    return collect("results/issues/{run.task}/{run.model}/seed{run.seed}.parquet", run=runs)


def fold_files(name):
    """A file of every training that leaves a fold out."""

    def files(wildcards):
        count = int(wildcards.folds)
        folder = f"results/runs/{wildcards.task}/{wildcards.model}/without-{{fold}}/full/seed{wildcards.seed}"
        return [f"{folder.format(fold=f'{number}of{count}')}/{name}" for number in range(1, count + 1)]

    return files


def issue_dynamics(wildcards):
    """What the labels are held against: the reference run's dynamics, or those out of sample."""
    if folds := settings.issues.folds:
        return f"results/folds/{wildcards.task}/{wildcards.model}/{folds}/seed{wildcards.seed}.parquet"
    return "results/runs/{task}/{model}/all/full/seed{seed}/dynamics.parquet"


def validation_set(wildcards):
    return data_files(wildcards.task, [settings.tasks[wildcards.task].validation])


def length_ledger(wildcards):
    return run_files(plan.length_run(settings, wildcards.task), "ledger.json")


def reference_files(name):
    def files(wildcards):
        return run_files(plan.task_reference_runs(settings, wildcards.task), name)

    return files


def curve_files(name):
    def files(wildcards):
        return run_files(plan.curve_runs(settings, wildcards.task).values(), name)

    return files


def curve_ledgers(wildcards):
    """One ledger per curve, then those of the reference runs behind them."""
    runs = plan.curve_runs(settings, wildcards.task).values()
    return run_files(plan.with_references(runs, settings), "ledger.json")


def verdict_ledgers(wildcards):
    runs = verdicts.verdict_runs(settings, wildcards.verdict)
    references = verdicts.verdict_references(settings, wildcards.verdict)
    return run_files(list(dict.fromkeys([*runs, *references])), "ledger.json")


def verdict_predictions(wildcards):
    return run_files(verdicts.verdict_runs(settings, wildcards.verdict), "development.parquet")


def verdict_maps(wildcards):
    runs = verdicts.verdict_references(settings, wildcards.verdict)
    return collect("results/maps/{run.task}/{run.model}/seed{run.seed}.json", run=runs)


def verdict_passes(wildcards):
    """What the passes before training took that a judged method goes by."""
    task = verdicts.task_of(settings, wildcards.verdict)
    models = verdicts.looked_at(settings, wildcards.verdict)
    return collect("results/before/{task}/{model}.json", task=task, model=models)


def verdict_data(wildcards):
    task = verdicts.task_of(settings, wildcards.verdict)
    return data_files(task, verdicts.verdict_slice(settings, wildcards.verdict)["sets"]["datasets"])
