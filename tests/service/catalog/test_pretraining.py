"""What pretrained networks want."""

from service.catalog import pretraining


def test_recommended_mode_follows_the_data() -> None:
    modes = [pretraining.recommended_mode(n).mode for n in (50, 999, 1000, 9999, 10_000, 10**6)]
    assert modes == ["feature_extraction", "feature_extraction", "partial", "partial", "full", "full"]
