"""A network as a sequence of stages: it can be cut in two, frozen up to a stage, and trained at a rate for each stage.

Images are images_BCHW; between stages goes whatever the architecture's layers put out. Modules keep the names that they
have in torchvision, so the state dict of the whole network, or of a part, fits torchvision's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn


class Operation(NamedTuple):
    """One call in the forward pass, and the dotted names of the modules and parameters that it uses."""

    call: Callable[[nn.Module, Tensor], Tensor]
    owns: tuple[str, ...] = ()


class Stage(NamedTuple):
    """Operations that are frozen and trained together, at one learning rate."""

    name: str
    operations: tuple[Operation, ...]
    is_last: bool = False
    """Whether `partial` trains it: it belongs to the last stage before the head."""


def run_module(name: str, network: nn.Module, x: Tensor) -> Tensor:
    """Calls the module of that dotted name."""
    output: Tensor = network.get_submodule(name)(x)
    return output


def modules(*names: str) -> tuple[Operation, ...]:
    """One operation for each module, in this order."""
    return tuple(Operation(partial(run_module, name), (name,)) for name in names)


class StagedNetwork(nn.Module):
    """Runs its stages in order. The first `frozen` ones do not train and are always in eval mode, so that their output
    depends on their input alone: no dropout, no stochastic depth, no new BatchNorm statistics.
    """

    def __init__(self, source: nn.Module, stages: Sequence[Stage], *, frozen: int = 0, head_epochs: int = 0) -> None:
        super().__init__()
        self.stages = tuple(stages)
        self.frozen, self.frozen_always, self.head_epochs = frozen, frozen, head_epochs
        self.notes: list[str] = []
        """Sentences for people about how the network was built: which pretrained weights matched, for instance."""
        for stage in self.stages:
            for name in _owned(stage):
                _mount(self, source, name)
        self.freeze(frozen)

    def forward(self, x: Tensor) -> Tensor:
        """Images (or the cached output of the stage before) to logits_BK (or to the next stage's input)."""
        for stage in self.stages:
            for operation in stage.operations:
                x = operation.call(self, x)
        return x

    def freeze(self, stages: int) -> None:
        """Freezes the first `stages` stages and lets the others train."""
        self.frozen = stages
        for number, stage in enumerate(self.stages):
            for parameter in self.parameters_of(stage):
                parameter.requires_grad_(number >= stages)
        self.train(self.training)

    def begin_epoch(self, epoch: int) -> None:
        """In the first `head_epochs` epochs (from 1) the head trains alone, then the chosen stages join: linear
        probing, then fine-tuning (arXiv 2202.10054).
        """
        frozen = len(self.stages) - 1 if epoch <= self.head_epochs else self.frozen_always
        if frozen != self.frozen:
            self.freeze(frozen)

    def train(self, mode: bool = True) -> "StagedNetwork":
        """As for every module, but what is frozen stays in eval mode."""
        super().train(mode)
        for stage in self.stages[: self.frozen]:
            for part in _parts(self, stage):
                if isinstance(part, nn.Module):
                    part.eval()
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As for every module, but stages that are frozen throughout may be absent, and what this network lacks is
        ignored: a run on cached features and one without the cache can resume from each other's checkpoints.
        """
        own = self.state_dict()
        fixed = tuple(name for stage in self.stages[: self.frozen_always] for name in _owned(stage))
        accepted = {
            name: state_dict.get(name, tensor)
            for name, tensor in own.items()
            if name in state_dict or any(name == part or name.startswith(f"{part}.") for part in fixed)
        }
        return super().load_state_dict(accepted, strict, assign)

    def parameters_of(self, stage: Stage) -> Iterator[nn.Parameter]:
        """The parameters of one stage."""
        for part in _parts(self, stage):
            if isinstance(part, nn.Module):
                yield from part.parameters()
            else:
                yield part

    def cut(self) -> tuple["StagedNetwork", "StagedNetwork"]:
        """The stages that are frozen throughout, and the others; both share this network's parameters."""
        first = self.frozen_always
        return (
            StagedNetwork(self, self.stages[:first], frozen=first),
            StagedNetwork(self, self.stages[first:], head_epochs=self.head_epochs),
        )


def _owned(stage: Stage) -> list[str]:
    return list(dict.fromkeys(name for operation in stage.operations for name in operation.owns))


def _parts(network: nn.Module, stage: Stage) -> Iterator[nn.Module | nn.Parameter]:
    for name in _owned(stage):
        holder, last = _holder(network, name)
        part = getattr(holder, last)
        if isinstance(part, nn.Module | nn.Parameter):
            yield part


def _holder(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    parent, _, last = name.rpartition(".")
    return network.get_submodule(parent), last


def _mount(target: nn.Module, source: nn.Module, name: str) -> None:
    """Gives `target` the source's module or parameter under the same dotted name."""
    parent, _, last = name.rpartition(".")
    holder = target
    for part in parent.split(".") if parent else ():
        if not hasattr(holder, part):
            holder.add_module(part, nn.Module())
        holder = getattr(holder, part)
    origin, _ = _holder(source, name)
    if last in dict(origin.named_parameters(recurse=False)):
        holder.register_parameter(last, origin.get_parameter(last))
    else:
        holder.add_module(last, origin.get_submodule(last))
