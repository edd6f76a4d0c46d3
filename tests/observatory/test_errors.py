"""Errors say what to do, and survive the way from one process to another."""

from __future__ import annotations

import pickle

import pytest

from observatory import errors

MADE = (
    errors.StorageUnavailableError("the database", "it restarts"),
    errors.UnreadableFileError("the file is empty"),
    errors.TooLargeError("the number of pixels", 400, 100),
    errors.VanishedFileError("a.fits", "gone"),
    errors.UnknownInstrumentError("a.fits"),
    errors.NoSuchInstrumentError("hubble", ["aia-94"]),
    errors.AmbiguousInstrumentError("a.fits", ["b", "a"]),
    errors.OtherInstrumentError("aia-304", "my-aia", "aia-193"),
    errors.MissingKeywordError("DATE-OBS", "not there"),
    errors.SchemaOutdatedError(None, "0001"),
    errors.ProviderUnavailableError("CUDAExecutionProvider", ["CPUExecutionProvider"]),
    errors.DefectError("ours"),
)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_comes_whole_out_of_another_process(error: errors.HeliowatchError):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_the_type_of_an_error_tells_what_may_be_done():
    kinds = (errors.TransientError, errors.UnusableInputError, errors.SettingsError, errors.DefectError)
    for error in MADE:
        assert sum(isinstance(error, kind) for kind in kinds) == 1


def test_candidates_are_named_in_order():
    assert errors.AmbiguousInstrumentError("x", ["b", "a"]).candidates == ["a", "b"]
