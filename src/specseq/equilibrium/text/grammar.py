"""A synthetic language of known entropy, which gives the loss a provable floor.

The language is a probabilistic automaton in which a symbol and a state decide the next state (a unifilar
hidden Markov chain). Even when the state is known, no prediction beats the state's own distribution, so the
entropy rate is h = Σ_s π(s) H(p_s) with the stationary π, and no model with any context does better than h.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.seeding import generator

ALPHABET = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Automaton:
    """Emission probabilities ``[S, V]`` and next states ``[S, V]`` of S states over V symbols."""

    emission: NDArray[np.float64]
    successor: NDArray[np.int64]

    @classmethod
    def draw(cls, seed: int, states: int = 32, symbols: int = 27, concentration: float = 0.15) -> "Automaton":
        """A random automaton whose states can all be reached.

        Args:
            symbols: V, at most the length of :data:`ALPHABET`.
        """
        draw = generator(seed, "grammar")
        emission = draw.dirichlet(np.full(symbols, concentration), states)
        successor = draw.integers(0, states, (states, symbols))
        # The likeliest symbol leads to the next state, so that all states lie on one cycle.
        successor[np.arange(states), emission.argmax(1)] = np.roll(np.arange(states), -1)
        return cls(emission, successor)

    def stationary(self) -> NDArray[np.float64]:
        """π, the long-run share of each state."""
        states = self.emission.shape[0]
        move = np.zeros((states, states))
        for state in range(states):
            np.add.at(move[state], self.successor[state], self.emission[state])
        system = np.vstack([move.T - np.eye(states), np.ones(states)])
        share: NDArray[np.float64] = np.linalg.lstsq(system, np.r_[np.zeros(states), 1.0], rcond=None)[0]
        return share

    def entropy(self) -> float:
        """Entropy rate in nats per symbol."""
        p = np.where(self.emission > 0, self.emission, 1.0)
        return float(self.stationary() @ -(self.emission * np.log(p)).sum(1))

    def sample(self, length: int, seed: int) -> str:
        """A text of the language."""
        uniform = generator(seed, "grammar text").random(length)
        cumulative = self.emission.cumsum(1)
        cumulative[:, -1] = 1.0
        state, marks = 0, []
        for u in uniform:
            symbol = int(np.searchsorted(cumulative[state], u, side="right"))
            marks.append(ALPHABET[symbol])
            state = self.successor[state, symbol]
        return "".join(marks)
