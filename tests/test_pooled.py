"""The linear probe: statistics over time, standardised, and what regression of scikit-learn makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from murine.errors import ConfigError, InputError
from murine.models import create_model


def test_statistics_are_of_the_real_frames() -> None:
    x = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [8.0, 6.5], [torch.nan, -1.0]]])
    mask = torch.tensor([[True, True, True, False]])
    settings = {"statistics": ["change", "mean", "deviation"]}
    model = create_model("pooled", classes=3, features=2, settings=settings)
    rows = model.describe({"embedding": x, "mask": mask})
    seen = x[0, :3].numpy()
    expected = np.concatenate([np.abs(np.diff(seen, axis=0)).mean(0), seen.mean(0), seen.std(0)])
    np.testing.assert_allclose(rows.numpy(), expected[None], rtol=1e-5)
    assert model.described == 6


@pytest.mark.parametrize("statistics", [[], ["mean", "mean"]])
def test_statistics_are_named_once(statistics: list[str]) -> None:
    with pytest.raises(ConfigError, match="each once"):
        create_model("pooled", classes=3, features=2, settings={"statistics": statistics})


def test_learns_what_logistic_regression_learns() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(120, 6)) * [1, 5, 0.1, 1, 2, 3] + [0, 40, 1, 2, -3, 0]
    truth = (rows[:, 0] + rows[:, 1] / 5 - 8 + random.normal(size=120) > 0).astype(int)
    model = create_model("pooled", classes=2, features=6, settings={"statistics": ["mean"]}).train()
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
