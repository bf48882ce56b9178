"""Blackjack in compiled code: the draws and the bits of Gymnasium's own."""

# compiled code has no annotations: numba infers the types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np
from numba import njit

from rlbench._stamp import stamp

TWENTY_ONE, DEALER_STANDS = 21, 17
KINDS, SUITS, COURT = 13, 4, 3  # ace to king; the last three count 10 as the ten does
UPS, ACES = 11, 2  # the dealer's card, a usable ace: sizes of Gymnasium's observation space


@njit(cache=True)
def draw_card(rng):
    """Draws a card: 1 for the ace, 10 for ten, jack, queen and king."""
    return min(rng.integers(0, KINDS) + 1, 10)


@njit(cache=True)
def deal(rng):
    """Deals; returns (player's sum, whether it has an ace, player's cards, dealer's open card, dealer's other)."""
    up, hidden = draw_card(rng), draw_card(rng)
    one, other = draw_card(rng), draw_card(rng)
    rng.integers(0, SUITS)  # of the open card, for its picture
    if up == 10:  # noqa: PLR2004
        rng.integers(0, COURT)
    return one + other, np.int64(one == 1 or other == 1), np.int64(2), up, hidden


@njit(cache=True)
def is_usable(total, ace):
    """Returns whether an ace counts 11."""
    return ace != 0 and total + 10 <= TWENTY_ONE


@njit(cache=True)
def worth(total, ace):
    """Returns what a hand counts, above 21 if it is bust."""
    return total + 10 if is_usable(total, ace) else total


@njit(cache=True)
def see_hand(state):
    """Returns the number of an observation, in the order of Gymnasium's space: sum, open card, usable ace."""
    total, ace, _, up, _ = state
    return (worth(total, ace) * UPS + up) * ACES + np.int64(is_usable(total, ace))


@njit(cache=True)
def hit(state, rng):
    """Draws for the player; returns (state, reward, terminated)."""
    total, ace, cards, up, hidden = state
    card = draw_card(rng)
    total += card
    bust = total > TWENTY_ONE
    return (total, max(ace, np.int64(card == 1)), cards + 1, up, hidden), -1.0 if bust else 0.0, bust


@njit(cache=True)
def stick(state, natural, sab, rng):
    """Draws for the dealer; returns the player's reward, by the rules `natural` and `sab` of Gymnasium's env."""
    total, ace, cards, up, hidden = state
    dealer, dealer_ace, dealer_cards = up + hidden, np.int64(up == 1 or hidden == 1), 2
    while worth(dealer, dealer_ace) < DEALER_STANDS:
        card = draw_card(rng)
        dealer, dealer_ace, dealer_cards = dealer + card, max(dealer_ace, np.int64(card == 1)), dealer_cards + 1
    mine, theirs = worth(total, ace), worth(dealer, dealer_ace)
    theirs = 0 if theirs > TWENTY_ONE else theirs
    reward = 1.0 if mine > theirs else -1.0 if mine < theirs else 0.0
    is_mine = cards == 2 and mine == TWENTY_ONE  # noqa: PLR2004
    if sab and is_mine and not (dealer_cards == 2 and theirs == TWENTY_ONE):  # noqa: PLR2004
        return 1.0
    return 1.5 if natural and not sab and is_mine and reward == 1.0 else reward


stamp(__name__)
