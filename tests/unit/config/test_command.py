"""Which commands a config may name, and what their arguments become."""

import pytest

from gcwatch import config
from gcwatch.config.values.command import fill_arguments
from gcwatch.core.errors import ConfigError

ROUTE = '[[route]]\nname = "a"\ninbox = "in"\noutbox = "out"\nalgorithm = "x"\n'


def load(folder, value):
    file = folder / "gcwatch.toml"
    file.write_text(f"{ROUTE}on_delivered = {value}\n")
    return config.load(file).routes[0].on_delivered


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"/bin/x {folder}"', "must be a list"),
        ('["/bin/x", 5]', "must be a valid string"),
        ('["", "{folder}"]', "has an empty argument"),
        ('["bin/x"]', "must begin with the full path"),
        ('["../x"]', "must begin with the full path"),
        ('["{folder}"]', "must begin with a program"),
        ('["x", "{patient}"]', "unknown placeholder: {patient}"),
        ('["x", "--to={folder}", "{file}"]', "unknown placeholder: {file}"),
    ],
)
def test_a_command_that_can_not_be_run_is_refused(tmp_path, value, said):
    """It is known when the config is read, and not at the first delivery."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, value)

    [problem] = raised.value.problems
    assert said in problem.message
    assert "on_delivered" in problem.path


def test_braces_that_are_no_placeholder_stay(tmp_path):
    """JSON can be an argument; values are put in once, also if they look like a placeholder."""
    command = load(tmp_path, """["x", '{"case": "{key}"}', "{}", "--in={folder}"]""")

    filled = fill_arguments(command, {"key": "k", "folder": "/out/{key}", "route": "r"})

    assert filled == ["x", '{"case": "k"}', "{}", "--in=/out/{key}"]
