"""What is put back is as it was, bit for bit; what is not meant to be put back is not."""

import pytest
import torch
from torch import nn

from worker.engine.runtime import preserve

CPU = torch.device("cpu")


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def is_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_pass_is_taken_back_with_what_dropout_drew(model: nn.Module) -> None:
    saved = preserve.PassState(model, CPU)
    saved.save()
    before, inputs = state(model), torch.ones(5, 4)
    first = model(inputs)
    assert not is_same(before, state(model))
    saved.restore()
    assert is_same(before, state(model))
    assert torch.equal(model(inputs), first)


def test_passes_leave_no_trace_even_when_one_fails(model: nn.Module) -> None:
    before, generator = state(model), torch.get_rng_state()

    def look() -> None:
        with preserve.passes(model, CPU):
            torch.autograd.backward(model(torch.ones(5, 4)).sum())
            model(torch.ones(5, 3))

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        look()
    assert is_same(before, state(model))
    assert torch.equal(generator, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_each_module_gets_its_own_mode_back(model: nn.Sequential) -> None:
    model[2].eval()
    with preserve.modes(model):
        model.eval()
    assert [module.training for module in model] == [True, True, False, True]


def test_other_weights_stand_in_for_a_while(model: nn.Module) -> None:
    before = state(model)
    others = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    with preserve.weights(model, others):
        assert is_same(others, state(model))
    assert is_same(before, state(model))


def test_everything_comes_back_the_optimizer_included(model: nn.Module) -> None:
    optimizer = torch.optim.Adam(model.parameters())

    def train() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(model(torch.randn(5, 4)).square().sum())
        optimizer.step()

    train()
    with preserve.everything(model, optimizer):
        train()
        once = state(model)
    with preserve.everything(model, optimizer):
        train()
        assert is_same(once, state(model))
