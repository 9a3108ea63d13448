"""The catalog's fingerprints are those of torchvision's networks."""

from service.catalog import architectures
from service.catalog.fingerprints import FINGERPRINTS, fingerprint
from worker.engine.models import torchvision_models


def test_every_architecture_has_the_fingerprint_of_its_network_and_no_two_the_same() -> None:
    shapes = {
        known.name: {
            name: tensor.shape for name, tensor in torchvision_models.skeleton(known.name).state_dict().items()
        }
        for known in architectures.ARCHITECTURES
    }
    assert {name: fingerprint(own) for name, own in shapes.items()} == FINGERPRINTS
    assert len(set(FINGERPRINTS.values())) == len(FINGERPRINTS)
