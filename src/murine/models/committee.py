"""A network for each behaviour, side by side as one: each tells its behaviour from all else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry, create_model
from murine.models.settings import Table

PER_BEHAVIOUR = "per_behaviour"
"""The name of such a model; `training.per_behaviour` makes one of networks that were trained one by one."""


class PerBehaviour(Model):
    """As many networks as behaviours, alike in everything but their weights; each gives one column of logits.

    `member`: the name of the network, and `settings`: its own, a table. The columns are made for sigmoids: each
    network judges for itself. Source: de Juan 2022, one binary problem per behaviour.
    """

    def __init__(
        self,
        classes: int,
        features: int | None = None,
        *,
        member: str = "ms_tcn_pp",
        settings: Table | None = None,
    ) -> None:
        super().__init__()
        if member == PER_BEHAVIOUR:
            raise InputError(
                f"member cannot be '{PER_BEHAVIOUR}' itself; name the network of one behaviour"
            )
        seed = torch.initial_seed()
        columns = features if MODELS[member].takes_features else None
        members = [
            create_model(
                member, classes=1, features=columns, settings=settings or {}, seed=(seed + i) % 2**63
            )
            for i in range(classes)
        ]
        self.members = nn.ModuleList(members)
        first = members[0]
        self.streams, self.predicts, self.window = first.streams, first.predicts, first.window
        self.reach = first.reach
        self.described = sum(m.described for m in members)
        self.head_names = tuple(
            f"members.{i}.{name}" for i, m in enumerate(members) for name in m.head_names
        )

    def forward(self, batch: Batch) -> Output:
        """Return the logits of all networks, a column each; stages likewise."""
        outputs: list[Output] = [member(batch) for member in self.members]
        stages = [
            torch.cat(columns, dim=-1) for columns in zip(*(o.stages for o in outputs), strict=True)
        ]
        return Output(torch.cat([o.logits for o in outputs], dim=-1), tuple(stages))

    def describe(self, batch: Batch) -> Tensor:
        """Return what all networks say of each window, (B, described), side by side."""
        return self._side_by_side(lambda member: member.describe(batch))

    def describe_overlapping(self, clip: Tensor, starts: Tensor) -> Tensor:
        """Return the same of windows of a short clip, each network sharing what it can."""
        return self._side_by_side(lambda member: member.describe_overlapping(clip, starts))

    def judge_overlapping(self, clip: Tensor, starts: Tensor) -> Tensor:
        """Return the logits of windows of a short clip, each network sharing what it can."""
        return self._side_by_side(lambda member: member.judge_overlapping(clip, starts))

    def member(self, index: int) -> Model:
        """Return the network of one behaviour."""
        found = self.members[index]
        assert isinstance(found, Model)
        return found

    def _side_by_side(self, ask: Callable[[Model], Tensor]) -> Tensor:
        return torch.cat([ask(self.member(i)) for i in range(len(self.members))], dim=-1)


MODELS.add(
    PER_BEHAVIOUR,
    ModelEntry(
        build=PerBehaviour,
        streams=("pose",),
        family="committee",
        source="de Juan, LSTM and TCN networks (2022): a binary problem for each behaviour",
        counted={"classes": 3, "features": 28},
        tiny={
            "member": "ms_tcn_pp",
            "settings": {
                "maps": 12,
                "generator_layers": 3,
                "refinement_stages": 1,
                "refinement_layers": 2,
                "dropout": 0.0,
                "exclusive": False,
            },
        },
    ),
)
