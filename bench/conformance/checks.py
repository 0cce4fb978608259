"""All checks, in the order in which they are run and printed."""

from __future__ import annotations

from bench.conformance.check import Check
from bench.conformance.conduct_checks import GlobalState, InputsUnmodified, Memory, Network, State, Writes
from bench.conformance.contract_checks import (
    Construction,
    KnownFailures,
    NotFitted,
    Presets,
    Refit,
    ReturnsItself,
    SameSeed,
    Stochastic,
    WrongInput,
)
from bench.conformance.score_checks import Auroc, Chunks, Companions, Maps, Order, Repeat, ScoreShape

CHECKS: tuple[type[Check], ...] = (
    Presets,
    KnownFailures,
    Construction,
    NotFitted,
    ScoreShape,
    Auroc,
    Companions,
    Order,
    Chunks,
    Repeat,
    SameSeed,
    Stochastic,
    Refit,
    ReturnsItself,
    State,
    InputsUnmodified,
    WrongInput,
    GlobalState,
    Writes,
    Network,
    Memory,
    Maps,
)
