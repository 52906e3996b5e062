"""What every source file has to keep: layout, size, no banned functions, headers that stand alone."""
import json
import os
import pathlib
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lint.tree import ROOT, files, ids, is_text

C = files(".c", ".h")
HEADERS = files(".h")
BUILD = pathlib.Path(os.environ.get("HIRUNDO_BUILD", ROOT / "build-test" / "plain"))

# Each has a bounded or checking successor, or hides an error.
BANNED = re.compile(r"\b(strcpy|strcat|stpcpy|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok|alloca|"
                    r"rand|srand|random|drand48|mktemp|tmpnam|tempnam|system|popen|"
                    r"gethostbyname|inet_addr|inet_aton|inet_ntoa|gmtime|localtime|ctime|asctime)\s*\(")
LONGEST = 700  # lines; a file that grows beyond wants to be two modules

# Words that betray the machine or the circumstances under which a file was written.
BETRAYING = re.compile(r"/(home|Users|tmp/wt|work|root)/[a-z]|\bTODO\b|\bFIXME\b|\bXXX\b|(?i:\b(issue|ticket) #?\d)")


def code(text: str) -> str:
    """The text without comments and string contents, line numbers kept."""
    def blank(match: re.Match) -> str:
        return '""' if match[0][0] == '"' else re.sub(r"[^\n]", " ", match[0])
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


@pytest.mark.parametrize("path", C, ids=ids(C))
def test_no_banned_function(path):
    text = code(path.read_text())
    found = [f"line {at(text, m.start())}: {m[1]}" for m in BANNED.finditer(text)]
    assert not found


def test_banned_functions_are_found():
    assert BANNED.search(code('x = strcpy(a, b);'))
    assert not BANNED.search(code('x = "strcpy(a, b)"; /* sprintf( */ my_strcpy(a); snprintf(a);'))


def test_layout_of_c():
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", *C], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-8000:]


TEXT = [path for path in files() if is_text(path)]


@pytest.mark.parametrize("path", TEXT, ids=ids(TEXT))
def test_text(path):
    text = path.read_bytes().decode("utf-8")
    problems = []
    if text and not text.endswith("\n"):
        problems.append("no newline at the end")
    for number, line in enumerate(text.split("\n"), 1):
        if line.rstrip() != line:
            problems.append(f"line {number}: white space at the end")
        if path.suffix in {".py", ".sql", ".proto", ".md", ".yml"} and "\t" in line:
            problems.append(f"line {number}: tab")
        if path.resolve() != pathlib.Path(__file__).resolve() and BETRAYING.search(line):
            problems.append(f"line {number}: {BETRAYING.search(line)[0]}")
    if path.suffix in {".c", ".h", ".py"} and text.count("\n") > LONGEST:
        problems.append(f"{text.count(chr(10))} lines, more than {LONGEST}")
    assert not problems


SHELL = [path for path in TEXT if re.match(r"#!.*\b(ba)?sh\b", path.read_text().split("\n", 1)[0])]


@pytest.mark.parametrize("path", SHELL, ids=ids(SHELL))
def test_shell(path):
    run = subprocess.run(["shellcheck", "-x", path], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def compile_flags() -> list[str]:
    """Include folders and definitions of every target together, from the build's database."""
    flags: dict[str, None] = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        for word in shlex.split(entry["command"]):
            if word.startswith(("-I", "-D")):
                if word.startswith("-I"):
                    word = "-I" + os.path.normpath(os.path.join(entry["directory"], word[2:]))
                flags[word] = None
    return list(flags)


def test_headers_stand_alone():
    """Each compiles as the only include of a program, by both compilers."""
    flags = compile_flags()

    def one(job):
        compiler, header = job
        run = subprocess.run(
            [compiler, "-std=c17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *flags, "-x", "c", "-"],
            input=f'#include "{header.relative_to(ROOT)}"\nint main(void) {{ return 0; }}\n',
            cwd=ROOT, capture_output=True, text=True)
        return "" if run.returncode == 0 else f"{compiler} {header.relative_to(ROOT)}:\n{run.stderr}"

    with ThreadPoolExecutor(2) as pool:
        problems = list(filter(None, pool.map(one, [(c, h) for c in ("gcc", "clang") for h in HEADERS])))
    assert not problems, "\n".join(problems)[-8000:]


def test_guards():
    """#ifndef HIRUNDO_..., a different one each, so that no two headers exclude each other."""
    guards = {path: re.search(r"^#ifndef (HIRUNDO_\w+_H)\n#define \1\n", path.read_text(), re.M) for path in HEADERS}
    assert not [str(path) for path, guard in guards.items() if guard is None]
    names = [guard[1] for guard in guards.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind,prefix", [("unit", "test"), ("fuzz", "fuzz"), ("bench", "bench")])
def test_every_test_is_built(kind, prefix):
    """A file that nobody listed is a test that nobody runs."""
    lines = (ROOT / "tests" / kind / "meson.build").read_text().split("\n")
    listed = set(re.findall(r"\w+\.c", "\n".join(line for line in lines if not line.startswith("#"))))
    present = {path.name for path in (ROOT / "tests" / kind).glob(f"{prefix}_*.c")}
    assert present == {name for name in listed if name.startswith(prefix)}


def test_every_fuzz_target_has_seeds():
    targets = {path.stem.removeprefix("fuzz_") for path in (ROOT / "tests" / "fuzz").glob("fuzz_*.c")}
    assert targets == {path.name for path in (ROOT / "tests" / "corpus").iterdir() if any(path.iterdir())}


def test_every_folder_says_what_it_holds():
    folders = {path.relative_to(ROOT).parts[0] for path in files() if len(path.relative_to(ROOT).parts) > 1}
    missing = [name for name in folders if not name.startswith(".") and not (ROOT / name / "README.md").is_file()]
    assert not missing
