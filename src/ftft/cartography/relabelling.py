"""Training on the labels that a reference run suggests: does a cleaner training set pay, without a person?"""

import numpy as np

from .dual_model import everything, log_probabilities
from .issues import estimate
from .selection import Pool, selector
from .supervision import Supervision


@selector("suggested_labels", signals=["logits"], all_rows=True, objective="soft_targets", above=0.5)
def suggested_labels(pool: Pool, above: float) -> Supervision:
    """Every row, with the likeliest class in place of a label that is wrong with a probability above `above`.

    Both are taken as the list of issues takes them; the likeliest class by the mean over the epochs.
    """
    probabilities = np.exp(log_probabilities(pool.dynamics, -1).astype(np.float64))
    labels = pool.dynamics.labels
    wrong = estimate(pool.dynamics.logits, labels).probability > above
    target = np.eye(probabilities.shape[1], dtype=np.float32)
    return everything(pool, target=target[np.where(wrong, probabilities.argmax(1), labels)])
