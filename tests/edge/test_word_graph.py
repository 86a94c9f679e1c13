"""States that the same words reach are one, and say what they said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.word_graph import SlotEdge, State, WordGraph, in_order, merged

WORDS = ("go", "stop", "left")
LISTS = ("thing", "colour")


@st.composite
def acyclic(draw: st.DrawFn) -> WordGraph:
    """States that lead to later ones only, all of them reached from the first."""
    n = draw(st.integers(2, 9))
    states = [State() for _ in range(n)]
    for at in range(1, n):
        for source in draw(st.sets(st.integers(0, at - 1), min_size=1, max_size=3)):
            if draw(st.booleans()):
                word = draw(st.sampled_from(WORDS))
                states[source].words.setdefault(word, []).append(at)
            else:
                name = draw(st.sampled_from(LISTS))
                states[source].slots.append(SlotEdge(name, f"a_{name}", at))
        if draw(st.booleans()):
            states[at].accepts.append(at)
    return WordGraph(tuple(states))


def sentences(graph: WordGraph) -> set[tuple[tuple[str, ...], int]]:
    """Returns all that a graph says, slots by their names, and which sentence it is."""
    found: set[tuple[tuple[str, ...], int]] = set()
    pending: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    while pending:
        at, said = pending.pop()
        state = graph.states[at]
        found |= {(said, sentence) for sentence in state.accepts}
        for word, targets in state.words.items():
            pending += [(target, (*said, word)) for target in targets]
        for edge in state.slots:
            pending.append((edge.target, (*said, f"{{{edge.list_name}:{edge.slot}}}")))
    return found


@given(acyclic())
def test_the_same_is_said(graph: WordGraph) -> None:
    smaller = merged(graph)

    assert sentences(smaller) == sentences(graph)
    assert len(smaller.states) <= len(graph.states)


def test_templates_that_begin_alike_share_their_beginning() -> None:
    # "go left" and "go stop", each with a copy of "go".
    states = [State() for _ in range(5)]
    states[0].words["go"] = [1, 2]
    states[1].words["left"] = [3]
    states[2].words["stop"] = [4]
    states[3].accepts.append(0)
    states[4].accepts.append(1)

    smaller = merged(WordGraph(tuple(states)))

    assert len(smaller.states) == 4
    assert len(smaller.states[0].words["go"]) == 1


@given(acyclic())
def test_places_come_after_all_that_lead_to_them(graph: WordGraph) -> None:
    after = [state.targets() for state in graph.states]
    order = in_order(after)
    place = {state: n for n, state in enumerate(order)}

    assert sorted(order) == list(range(len(graph.states)))
    for source, targets in enumerate(after):
        assert all(place[source] < place[target] for target in targets)
