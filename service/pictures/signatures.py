"""What a file really is, by its first bytes: pictures that are read, pictures that are not, and what is no picture."""

import re

HEAD_BYTES = 1024
PICTURES = (
    re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II[*+]\0|MM\0[*+]"),
    re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),  # the size of the header that follows
    re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s"),
    re.compile(rb".{4}ftyp.{4,60}avi[fs]|.{4}ftypavi[fs]", re.DOTALL),
)
OTHERS = (
    (re.compile(rb".{4}ftyp(hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL), "a HEIC picture"),
    (re.compile(rb".{4}ftyp", re.DOTALL), "a film"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "a JPEG XL picture"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 picture"),
    (re.compile(rb"8BPS"), "a Photoshop file"),
    (re.compile(rb".{128}DICM", re.DOTALL), "a DICOM file"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"PK\x03\x04"), "a zip archive"),
    (re.compile(rb"\x1f\x8b"), "a gzipped file"),
    (re.compile(rb"\x93NUMPY"), "a NumPy array"),
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer, not the file itself (`git lfs pull` fetches it)"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", re.DOTALL), "an SVG drawing"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"\s*<\?xml|\s*<[A-Za-z]+>"), "an XML file"),
    (re.compile(rb"\s*[{\[]\s*[\"{\[\]}\d]"), "a JSON file"),
    (re.compile(rb"\0+\Z"), "a file of zeros"),
)
TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")


def is_picture(head: bytes) -> bool:
    """Whether a file begins as a picture does that is read."""
    return any(pattern.match(head) for pattern in PICTURES)


def other_kind(head: bytes) -> str | None:
    """What a file is that is no readable picture, with its article; None where its first bytes do not say."""
    named = next((kind for pattern, kind in OTHERS if pattern.match(head[:HEAD_BYTES])), None)
    if named is None and head and not is_picture(head) and TEXT.fullmatch(head[:HEAD_BYTES]) and _is_utf8(head):
        return "a text"
    return named


def _is_utf8(head: bytes) -> bool:
    """Whether the bytes are UTF-8, but for a character that was cut at the end."""
    try:
        head[:HEAD_BYTES].decode()
    except UnicodeDecodeError as error:
        return error.start > len(head[:HEAD_BYTES]) - 4
    return True
