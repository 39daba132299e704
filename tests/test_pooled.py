"""The linear probe: statistics over time, standardised, and what regression of scikit-learn makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from murine.errors import InputError
from murine.models import create_model


def test_statistics_are_of_the_real_frames() -> None:
    model = create_model("pooled", classes=3, features=2)
    x = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [8.0, -1.0]]])
    x[0, 2] = torch.nan
    mask = torch.tensor([[True, True, False]])
    rows = model.describe({"embedding": x, "mask": mask})
    np.testing.assert_allclose(rows.numpy(), [[2.0, 5.0, 1.0, 0.0]], atol=2e-6)
    mean = create_model("pooled", classes=3, features=2, settings={"change": False})
    np.testing.assert_allclose(mean.describe({"embedding": x, "mask": mask}).numpy(), [[2.0, 5.0]])
    assert (model.described, mean.described) == (4, 2)


def test_learns_what_logistic_regression_learns() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(120, 6)) * [1, 5, 0.1, 1, 2, 3] + [0, 40, 1, 2, -3, 0]
    truth = (rows[:, 0] + rows[:, 1] / 5 - 8 + random.normal(size=120) > 0).astype(int)
    model = create_model("pooled", classes=2, features=6, settings={"change": False}).train()
    batch = {"embedding": torch.from_numpy(rows).float()[:, None]}
    decay = 0.02
    optimizer = torch.optim.SGD(
        [
            {"params": [model.classify.weight], "weight_decay": decay},
            {"params": [model.classify.bias]},
        ],
        2.0,
    )
    for _ in range(800):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch).logits[:, 0], torch.from_numpy(truth))
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        got = model(batch).logits[:, 0].softmax(1)[:, 1].numpy()
    standard = (rows - rows.mean(0)) / rows.std(0) / 6**0.5
    # Two opposite rows of weights cost half of what the one row of a binary regression does.
    other = LogisticRegression(C=2 / (decay * 120), tol=1e-8).fit(standard, truth)
    np.testing.assert_allclose(got, other.predict_proba(standard)[:, 1], atol=2e-3)


def test_a_last_batch_of_one_window_is_standardised_by_those_before() -> None:
    model = create_model("pooled", classes=2, features=3).train()
    random = torch.Generator().manual_seed(0)
    for _ in range(200):
        model({"embedding": 3 + torch.randn(16, 4, 3, generator=random)})
    one = {"embedding": 3 + torch.randn(1, 4, 3, generator=random)}
    assert torch.equal(model(one).logits, model.eval()(one).logits)


def test_another_embedding_is_refused() -> None:
    model = create_model("pooled", classes=2, features=3)
    with pytest.raises(InputError, match="5 columns came; this network is built for 3"):
        model({"embedding": torch.zeros(1, 4, 5)})
