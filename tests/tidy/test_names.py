"""No rooms without a name, and no address of one machine in a file that others will clone."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMELESS = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?)$")
ADDRESSES = {
    "the path of a machine": re.compile(r"(?<![\w.~}-])/(?:work|root|(?:home|Users)/(?!ray/)\w+)/"),
    "a package registry": re.compile(
        r"index[-_]url|find-links|trusted-host"
        r"|(?:pypi|pythonhosted|npmjs)\.(?:org|com)|(?:proxy|sum)\.golang\.org",
        re.IGNORECASE,
    ),
}


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    parts = {part for path in _files() for part in path.relative_to(ROOT).parts}
    assert not [part for part in sorted(parts) if NAMELESS.search(part.partition(".")[0])]


@pytest.mark.parametrize("what", ADDRESSES)
def test_no_file_holds(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in _files()
        if path != Path(__file__).resolve()
        for number, line in enumerate(_text(path).splitlines(), 1)
        if ADDRESSES[what].search(line)
    ]
    assert not found, "\n".join(found)


def _files() -> list[Path]:
    """What is committed or could be: neither ignored files nor deleted ones."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git repository")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def _text(path: Path) -> str:
    """The text of the file; of one that holds bytes, nothing."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""
