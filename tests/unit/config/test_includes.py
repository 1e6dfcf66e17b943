"""include: patterns, places, limits; a file that can't be read is named."""

import pytest

from ike.config.loader import MAX_DEPTH, load

SECTION = "resolver { resolver off; };\n"


def write(path, text):
    path.write_text(text)
    return path


def test_pattern_takes_files_in_order(tmp_path):
    for name in ("b", "a", "c"):
        write(tmp_path / "{}.part".format(name), "remote {} {{ ikev1 {{ passive on; }}; }};".format(name))
    main = write(tmp_path / "main.conf", SECTION + 'include "{}/*.part";'.format(tmp_path))
    loaded = load(str(main), "racoon2")
    assert [section.label for section in loaded.configuration.sections] == [
        "resolver",
        "remote a",
        "remote b",
        "remote c",
    ]
    assert loaded.configuration.sections[1].position.file.endswith("a.part")


def test_a_mistake_is_reported_in_its_own_file(tmp_path):
    part = write(tmp_path / "part", "remote r { ikev1 { pasive on; }; };")
    main = write(tmp_path / "main.conf", 'include "{}";'.format(part))
    (problem,) = load(str(main), "racoon2").problems
    assert (problem.file, problem.line, problem.column) == (str(part), 1, 20)


def test_sections_that_stand_once_stand_once_in_all_files(tmp_path):
    part = write(tmp_path / "part", SECTION)
    main = write(tmp_path / "main.conf", SECTION + 'include "{}";'.format(part))
    assert "stands twice" in load(str(main), "racoon2").problems[0].message


def test_environment_but_no_setval_in_a_path(tmp_path, monkeypatch):
    write(tmp_path / "part", SECTION)
    monkeypatch.setenv("PARTS", str(tmp_path))
    assert load(str(write(tmp_path / "a", 'include "$[PARTS]/part";')), "racoon2").configuration is not None
    problems = load(str(write(tmp_path / "b", 'setval P "x"; include "${P}/part";')), "racoon2").problems
    assert "not known yet" in problems[0].hint


def chain(tmp_path, length):
    """Files that include each other, the last one with a section; the first one's path."""
    for number in range(length):
        write(tmp_path / str(number), 'include "{}/{}";'.format(tmp_path, number + 1))
    write(tmp_path / str(length), SECTION)
    return str(tmp_path / "0")


def test_depth(tmp_path):
    assert load(chain(tmp_path, MAX_DEPTH), "racoon2").configuration is not None
    assert "8 deep" in load(chain(tmp_path, MAX_DEPTH + 1), "racoon2").problems[0].message


@pytest.mark.parametrize("times", [1, 4])
def test_a_file_that_includes_itself_ends(tmp_path, times):
    main = tmp_path / "main.conf"
    write(main, 'include "{}";\n'.format(main) * times)
    assert load(str(main), "racoon2").configuration is None


def test_unreadable(tmp_path):
    (problem,) = load(str(tmp_path / "nothing"), "racoon2").problems
    assert problem.severity == "unreadable"
    assert str(problem) == "{}/nothing: No such file or directory".format(tmp_path)
    assert load(str(tmp_path), "racoon2").problems[0].severity == "unreadable"


def test_included_directory_is_an_error_in_its_place(tmp_path):
    main = write(tmp_path / "main.conf", SECTION + 'include "{}";'.format(tmp_path))
    (problem,) = load(str(main), "racoon2").problems
    assert (problem.line, "cannot read" in problem.message) == (2, True)


@pytest.mark.parametrize("pattern", ["/dev/zero", "/\\0/*", "~nobody-of-that-name/x", "[", "/**"])
def test_odd_patterns_end(tmp_path, pattern):
    main = write(tmp_path / "main.conf", SECTION + 'include "{}";'.format(pattern.replace("\\0", "\0")))
    assert load(str(main), "racoon2").configuration is None


def test_odd_paths():
    assert load("a\0b").problems[0].severity == "unreadable"
