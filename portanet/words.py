"""Words that other libraries use for an option or a hook, and what portanet has for them.

portanet takes PyTorch's words for layers, losses and optimizers, Keras's for training. Whoever
brings a word from the other side gets the one that is used here.
"""

from collections.abc import Collection

ALIASES = {
    "learning_rate": "lr",
    "beta_1": "betas",
    "beta_2": "betas",
    "epsilon": "eps",
    "units": "out_features",
    "filters": "out_channels",
    "strides": "stride",
    "pool_size": "kernel_size",
    "dilation_rate": "dilation",
    "rate": "p",
    "axis": "dim",
    "input_dim": "num_embeddings",
    "output_dim": "embedding_dim",
    "use_bias": "bias",
    "alpha": "negative_slope",
    "num_epochs": "epochs",
    "scheduler": "schedule",
    "validation": "validation_data",
    "filename": "path",
    "acc": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "on_train_begin": "on_fit_begin",
    "on_train_end": "on_fit_end",
    "on_batch_end": "on_step_end",
    "on_train_batch_end": "on_step_end",
}

_NO_BEGIN = "no hook precedes a step; use on_step_end, of the step before, or on_epoch_begin"

_VALIDATED = "validation_data is evaluated whole, after each epoch"

_TOP_K = "give the object: metrics=[train.TopKAccuracy(5)]"

# Words for which there is none: what to do instead.
INSTEAD = {
    "top_k_categorical_accuracy": _TOP_K,
    "sparse_top_k_categorical_accuracy": _TOP_K,
    "top_k_accuracy": _TOP_K,
    "top_5_accuracy": _TOP_K,
    "validation_split": "hold samples out: fit((x[n:], y[n:]), validation_data=(x[:n], y[:n]))",
    "steps_per_epoch": "an epoch is all of the data; `steps` is how many updates fit does in all",
    "validation_steps": _VALIDATED,
    "validation_freq": _VALIDATED,
    "validation_batch_size": "give validation_data as a DataLoader, which has a batch_size",
    "initial_epoch": "epochs are counted on from call to call; `resume` goes on with a saved run",
    "verbose": "fit(…, progress=False) prints nothing; with progress=True it is a line an epoch",
    "callbacks": "they are the Trainer's: Trainer(…, callbacks=[…])",
    "metrics": "they are the Trainer's: Trainer(…, metrics=[…])",
    "schedule": "it is the Trainer's: Trainer(…, schedule=…)",
    "append": "the file holds all of the run's history, also of one that goes on",
    "inplace": "nothing is computed in place",
    "on_batch_begin": _NO_BEGIN,
    "on_train_batch_begin": _NO_BEGIN,
}


def hint(unknown: str, known: Collection[str]) -> str:
    """Return the known word that an unknown one stands for, as a question, or all of them."""
    import difflib  # rarely needed, and 2 ms to import

    if unknown in INSTEAD:
        return INSTEAD[unknown]
    alias, close = ALIASES.get(unknown), difflib.get_close_matches(unknown, known, n=1)
    word = alias if alias in known else close[0] if close else None
    return f"did you mean {word!r}?" if word else f"it takes {', '.join(known) or 'none'}"
