"""solfa's commands, as they are typed."""

from typer.testing import CliRunner, Result

from solfa.cli.main import app


def solfa(*arguments: object, exit_code: int = 0) -> Result:
    """What a command printed, which must have ended with that code."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result
