"""Checks of the config against its schema, with messages of one line."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from specseq.errors import InputError


def _message(error: ValidationError, prefix: str) -> InputError:
    place = ".".join(str(part) for part in error.absolute_path)
    where = f"{prefix}: {place}" if place else prefix
    if error.validator == "additionalProperties":
        import difflib

        schema: Any = error.schema
        known = list(schema.get("properties", {}))
        unknown = [key for key in cast(dict[str, Any], error.instance) if key not in known]
        near = difflib.get_close_matches(str(unknown[0]), known, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        return InputError(where, f"unknown key '{unknown[0]}'", remedy)
    if error.validator == "enum":
        return InputError(where, f"{error.instance!r} is not one of {error.validator_value}")
    if error.instance in ("true", "false"):
        return InputError(where, error.message, f"with --config, write {error.instance.capitalize()}")
    return InputError(where, error.message)


def _check(validator: Draft202012Validator, instance: Any, prefix: str) -> None:
    error = best_match(validator.iter_errors(instance))
    if error is not None:
        raise _message(error, prefix)


def check_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Check the whole config.

    Raises:
        InputError: names the key at fault, what is wrong and, for a typing error, the nearest known key.
    """
    _check(Draft202012Validator(schema), config, "config.yaml")


def check_runs(runs: Iterable[tuple[str, Mapping[str, Any]]], schema: Mapping[str, Any]) -> None:
    """Check the resolved parameters of runs against ``$defs.<study>`` of the schema.

    Sections that several runs share are checked once, so that thousands of runs cost little.
    """
    seen: set[tuple[str, str, str]] = set()
    validators: dict[tuple[str, str], Draft202012Validator] = {}
    for run, spec in runs:
        study = spec["study"]
        sections = schema["$defs"][study]["properties"]
        for key, value in spec.items():
            if key not in sections:
                near = ", ".join(sections)
                raise InputError(f"config.yaml: run {run}", f"unknown key '{key}'", f"known: {near}")
            token = (study, key, json.dumps(value, sort_keys=True))
            if token in seen:
                continue
            seen.add(token)
            if (study, key) not in validators:
                validators[study, key] = Draft202012Validator({**sections[key], "$defs": schema["$defs"]})
            _check(validators[study, key], value, f"config.yaml: run {run}: {key}")
        missing = [key for key in schema["$defs"][study].get("required", []) if key not in spec]
        if missing:
            raise InputError(f"config.yaml: run {run}", f"'{missing[0]}' is missing")
