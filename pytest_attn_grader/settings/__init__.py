"""What the user asked for: one frozen `Settings`, and one function that reads it.

Precedence: command line > environment > ini > default. Standard library and pytest only: every pytest run loads this.
"""

from pytest_attn_grader.settings.defaults import (
    ALL_LAYERS,
    DEFAULT_POINTS,
    DEFAULT_THRESHOLDS,
    FORMAT_NAMES,
    HINT_LEVELS,
    PROMPT_EXAMPLE,
    REQUIRED_TIERS,
    SANDBOX_TIERS,
)
from pytest_attn_grader.settings.ini_file import INI_FILE_KEY, IniFile
from pytest_attn_grader.settings.options import OPTIONS, Option, add_options, read_option
from pytest_attn_grader.settings.reading import read_settings
from pytest_attn_grader.settings.settings import Settings
from pytest_attn_grader.settings.values import parse_formats

__all__ = [
    "ALL_LAYERS",
    "DEFAULT_POINTS",
    "DEFAULT_THRESHOLDS",
    "FORMAT_NAMES",
    "HINT_LEVELS",
    "PROMPT_EXAMPLE",
    "REQUIRED_TIERS",
    "SANDBOX_TIERS",
    "OPTIONS",
    "Option",
    "add_options",
    "read_option",
    "INI_FILE_KEY",
    "IniFile",
    "Settings",
    "read_settings",
    "parse_formats",
]
