"""First bytes: pictures that are read, and the names of what is something else."""

import pytest
from PIL import features

from service.pictures import PictureError, Shape, decode, read_header
from service.pictures.signatures import is_picture, other_kind
from tests.service.pictures.drawings import encoded, picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "MPO", "AVIF"])
def test_every_kind_that_is_read_is_known_by_its_first_bytes(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    data = encoded(picture(1), kind)
    assert is_picture(data[:1024])
    assert kind == "AVIF" or other_kind(data) is None  # AVIF is a kind of film
    assert decode(data, Shape(8, 8, 3))[0].format == ("JPEG" if kind == "MPO" else kind)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"BMW seen in the background\n", "a text"),
        (b"RIFF is a word\n", "a text"),
        (b"P5 is a number of no meaning", "a text"),
        ("Grüße".encode(), "a text"),
        (b"\n<!DOCTYPE html><html>403", "an HTML page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x">', "an SVG drawing"),
        (b'{"error": "not found"}', "a JSON file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a film"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"%PDF-1.4", "a PDF document"),
    ],
)
def test_what_is_no_picture_is_named_for_what_it_is(data: bytes, kind: str) -> None:
    assert not is_picture(data)
    with pytest.raises(PictureError, match=f"^{kind}"):
        read_header(data)


def test_a_stack_of_pages_is_counted() -> None:
    pages = [picture(n) for n in range(3)]
    assert read_header(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])).frames == 3
