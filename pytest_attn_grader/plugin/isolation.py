"""What of the folder that pytest is started in takes part in the grading: nothing, unless it was asked for.

With `--attn-student` and no paths nobody asked for the tests there: no conftest.py is loaded, nothing is imported from
that folder, and an ini file among the student's own files is not heeded. What pytest does before it loads any plugin
cannot be undone, but it can be seen: then nothing is graded.
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.plugin.collection import disable_conftests, drop_cwd_from_sys_path, has_explicit_paths
from pytest_attn_grader.settings import INI_FILE_KEY, IniFile, read_option
from pytest_attn_grader.submission.target import Target, find_target

# Plugins for tests of another kind. Hypothesis's imports its library at the end of every run, to find that nothing was
# drawn (0.1 s, and 0.5 s without bytecode); none of the checks is a test of its.
_OF_OTHER_TESTS = ("hypothesispytest",)
# Pytest's own for log records: three times a test it visits every logger, and transformers brings hundreds.
# The checks log nothing. Left out whole: what it would open at the start, a plugin that is only blocked leaves open.
_LOG_RECORDS = "logging"
_ABOUT_LOG_RECORDS = ("log_cli", "log_cli_level", "log_level", "log_file", "log_file_level")


def enter(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Shut the folder out, before pytest loads any conftest.py."""
    disable_conftests(early_config)
    typed, source = read_option(early_config, "student", early=True)
    ini_path = early_config.inipath
    early_config.stash[INI_FILE_KEY] = IniFile(_shown(ini_path, early_config), heeded=True)
    if typed is not None and not has_explicit_paths(early_config):
        try:
            target = find_target(typed.strip(), Path(early_config.invocation_params.dir))
        except (UsageError, ValueError):
            target = None  # said when the settings are read
        # An ini file that names the submission is the user's own: without it nothing would be graded at all.
        theirs = target is not None and ini_path is not None and ini_path.resolve().is_relative_to(target.root)
        if theirs and not source.startswith("ini"):
            _ignore_ini(early_config, parser, args)
    drop_cwd_from_sys_path(early_config)
    if not has_explicit_paths(early_config):
        for name in _OF_OTHER_TESTS:
            if early_config.pluginmanager.hasplugin(name):
                early_config.pluginmanager.unregister(name=name)
        if not _asks_for_logs(early_config):
            early_config.pluginmanager.unregister(name=_LOG_RECORDS)


def _asks_for_logs(config: pytest.Config) -> bool:
    """Whether log records are to be shown or kept, by the command line or by an ini file that is heeded."""
    if not config.pluginmanager.hasplugin("logging"):
        return False  # -p no:logging; then pytest does not know these options either
    typed = config.known_args_namespace
    return any(getattr(typed, name, None) or config.getini(name) for name in _ABOUT_LOG_RECORDS)


def _ignore_ini(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Go on as if there were no ini file, unless it was named with `-c`; what was typed with `-o` stays."""
    added = config.getini("addopts")
    typed_args = args[len(added) :] if added and args[: len(added)] == added else args
    # A copy, because parse_known_args writes into the namespace it is given.
    options = parser.parse_known_args(typed_args, namespace=copy.copy(config.option))
    if options.inifilename:
        return
    for entry in config.getini("pythonpath"):
        while str(entry) in sys.path:
            sys.path.remove(str(entry))
    before = config.known_args_namespace
    options.noconftest, options.confcutdir = before.noconftest, options.confcutdir or before.confcutdir
    config.known_args_namespace = options
    args[:] = typed_args
    values = vars(config).get("_inicfg", vars(config).get("inicfg"))
    if values is None:
        raise pytest.UsageError("this version of pytest keeps its ini values elsewhere: name an ini file with -c")
    typed_values = {each.partition("=")[0] for each in options.override_ini or ()}
    left_out = [name for name in values if name not in typed_values]
    for name in left_out:
        del values[name]
    config._inicache.clear()
    ours = tuple(name for name in left_out if name.startswith("attn_"))
    config.stash[INI_FILE_KEY] = IniFile(_shown(config.inipath, config), heeded=False, left_out=ours)


def reject_imported_student_modules(target: Target, config: pytest.Config) -> None:
    """A module of the student's in this process could have changed anything in it.

    Raises:
        UsageError: there is one, although no paths were named.
    """
    if has_explicit_paths(config):
        return
    inside = os.path.join(target.root, "")
    ours = [Path(__file__).resolve().parents[1], *(Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix))]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        # The program itself is whoever started it; what it is called says nothing about the submission.
        if not isinstance(file, str) or name in {"__main__", "__mp_main__"}:
            continue
        # As text: there are thousands of modules, and paths are slow.
        if os.path.isabs(file) and target.root.name not in file:
            continue
        if not os.path.abspath(file).startswith(inside):
            continue
        path = Path(os.path.abspath(file))
        # Modules that a library makes up have files that are not there.
        if path.is_file() and not any(path.is_relative_to(folder) for folder in ours):
            raise UsageError(
                f"{_shown(path, config)} has been imported into the grading process (as {name!r}), where nothing of "
                "the submission may run. Start `pytest` instead of `python -m pytest`, without PYTHONPATH and -p, or "
                "in another folder."
            )


def _shown(path: Path | None, config: pytest.Config) -> str | None:
    """A path as one would type it here: the report shows nothing of this machine."""
    if path is None:
        return None
    try:
        return Path(os.path.relpath(path, config.invocation_params.dir)).as_posix()
    except ValueError:
        return path.name  # on another drive
