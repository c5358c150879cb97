"""Files are stored whole, named by their digest, and verified when they are read."""

from pathlib import Path

import pytest

from service.artifacts import SPOOL_BYTES, Artifacts, Spool
from service.errors import ArtifactDamagedError, InvalidInputError
from tests.service.actors import sha256


def spool(content: bytes) -> Spool:
    made = Spool()
    made.write(content)
    return made


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts((tmp_path / "files").as_uri())


@pytest.mark.parametrize("size", [0, 5, SPOOL_BYTES + 1])
def test_a_file_comes_back_as_it_was(artifacts: Artifacts, size: int) -> None:
    content = b"x" * size
    digest = sha256(content)
    assert not artifacts.has(digest)
    with spool(content) as made:
        artifacts.put(digest, made)
    assert artifacts.has(digest)
    with artifacts.open(digest) as found:
        assert found.file.read() == content


def test_storing_a_file_again_is_harmless(artifacts: Artifacts) -> None:
    for _ in range(2):
        with spool(b"same") as made:
            artifacts.put(sha256(b"same"), made)
    with artifacts.open(sha256(b"same")) as found:
        assert found.file.read() == b"same"


def test_nothing_is_stored_under_a_wrong_digest(artifacts: Artifacts, tmp_path: Path) -> None:
    with spool(b"content") as made, pytest.raises(InvalidInputError, match="digest of the body"):
        artifacts.put("0" * 64, made)
    assert not (tmp_path / "files").exists()


def test_a_file_that_was_cut_off_is_found_out(artifacts: Artifacts, tmp_path: Path) -> None:
    digest = sha256(b"content")
    with spool(b"content") as made:
        artifacts.put(digest, made)
    (tmp_path / "files" / digest[:2] / digest[2:4] / digest).write_bytes(b"cont")
    with pytest.raises(ArtifactDamagedError, match="its content has the digest"):
        artifacts.open(digest)


def test_a_file_that_is_gone_is_found_out(artifacts: Artifacts) -> None:
    with pytest.raises(ArtifactDamagedError, match="not where it was stored"):
        artifacts.open("0" * 64)
