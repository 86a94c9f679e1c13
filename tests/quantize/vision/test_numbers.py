"""The numbers of vision models: rounded, equalised, in eight bits, and judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantize.onnx_session import Array, open_session, run
from quantize.vision.equalisation import equalise
from quantize.vision.evaluation import Said, agreement, findings, noise_db, samples
from quantize.vision.network import Floats, Network, multiply_adds
from quantize.vision.observing import Flow, observe
from quantize.vision.qdq import FLOAT, INT8, Scheme, as_int8, float_share, types_of
from quantize.vision.ranges import least_divergent, useful
from quantize.vision.repair import fewest_floats, parts_of
from quantize.vision.rounding import Together, _seen, gather, rounded, scales
from quantize.vision.spreading import spread

Weights = Mapping[str, npt.NDArray[Any]]


def silent(_done: int, _of: int) -> None:
    """Tells nobody."""


def network(
    nodes: list[onnx.NodeProto], weights: Weights, shape: tuple[int, ...]
) -> Network:
    """Nodes from x to y."""
    for at, node in enumerate(nodes):
        node.name = f"n{at}"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "made",
        [value("x", TensorProto.FLOAT, shape)],
        [onnx.ValueInfoProto(name="y")],
        [
            numpy_helper.from_array(np.asarray(one, np.float32), name)
            for name, one in weights.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return Network(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def computed(model: onnx.ModelProto, x: Floats) -> Floats:
    session = open_session(model.SerializeToString(), threads=1)
    found: Floats = run(session, {"x": x})[0]
    return found


def pictures(n: int, channels: int, side: int) -> list[Floats]:
    """Neighbours are nearly the same, as in photographs, and no mean is zero."""
    random = np.random.default_rng(5)
    walks = random.normal(0, 1, (n, 1, channels, side, side)).cumsum(-1).cumsum(-2)
    return list((walks / side + 1).astype(np.float32))


def drawn(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


CONVS = [
    ({}, (4, 3, 3, 3)),
    ({"pads": [1, 0, 2, 1]}, (4, 3, 3, 2)),
    ({"strides": [2, 1], "dilations": [1, 2]}, (4, 3, 2, 3)),
    ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (4, 3, 2, 4)),
    ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (4, 3, 4, 2)),
    ({"auto_pad": "VALID"}, (4, 3, 2, 2)),
    ({"group": 3, "pads": [1, 1, 1, 1]}, (3, 1, 3, 3)),
    ({"group": 3}, (6, 1, 3, 3)),
]


@pytest.mark.parametrize(("told", "shape"), CONVS)
def test_what_is_seen_is_what_is_multiplied(
    told: dict[str, Any], shape: tuple[int, ...]
) -> None:
    weight = drawn(*shape)
    node = helper.make_node("Conv", ["x", "w"], ["y"], **told)
    net = network([node], {"w": weight}, (1, 3, 9, 8))
    (x,) = pictures(1, 3, 9)
    x = np.ascontiguousarray(x[..., :8])

    seen = _seen(net, net.nodes[0], x, np.random.default_rng(0))

    groups = len(seen)
    rows = weight.reshape(groups, -1, seen.shape[2])
    ours = np.einsum("gpc,gec->gep", seen, rows).reshape(shape[0], -1)
    theirs = computed(net.model, x)[0].reshape(shape[0], -1)
    # The places come in another order, that of all channels alike.
    order = np.argsort(ours[0])
    np.testing.assert_allclose(
        ours[:, order], theirs[:, np.argsort(theirs[0])], atol=1e-4
    )


def one_layer(kind: str) -> tuple[Network, list[Floats]]:
    weight, bias = drawn(8, 6 * 9), drawn(8, seed=1)
    inputs = pictures(24, 6, 12)
    weights: Weights
    if kind.startswith("gemm"):
        is_turned = kind == "gemm turned"
        inputs = [one[:, :, :3, :3].reshape(1, -1) for one in inputs * 4]
        weights = {"w": weight if is_turned else weight.T, "b": bias}
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=int(is_turned))
    elif kind == "depthwise":
        weights = {"w": drawn(6, 1, 3, 3), "b": bias[:6]}
        node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=6)
    elif kind == "grouped":
        weights = {"w": drawn(8, 3, 3, 3), "b": bias}
        node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=2)
    else:
        weights = {"w": weight.reshape(8, 6, 3, 3), "b": bias}
        node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2])
    return network([node], weights, inputs[0].shape), inputs


@pytest.mark.parametrize("bits", [4, 7, 8])
@pytest.mark.parametrize(
    "kind", ["conv", "depthwise", "grouped", "gemm", "gemm turned"]
)
def test_weights_that_make_up_for_one_another_lose_less(kind: str, bits: int) -> None:
    net, inputs = one_layer(kind)
    node = net.nodes[0]
    steps = scales(net, node, (-1.0, 3.0), bits)
    together = gather(net, [{"x": one} for one in inputs], 1, silent)

    ours = rounded(net, together, {"n0": steps}, bits)

    axis = 1 if kind == "gemm" else 0
    along = np.expand_dims(
        steps, [at for at in range(net.weight("w").ndim) if at != axis]
    )
    counts = ours.weight("w") / along
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    assert np.abs(counts).max() <= 2 ** (bits - 1) - 1 + 1e-3
    plain = net.copy()
    plain.replace("w", np.rint(net.weight("w") / along) * along)
    lost = {}
    for name, one in {"ours": ours, "plain": plain}.items():
        apart = [computed(one.model, x) - computed(net.model, x) for x in inputs]
        errors = np.concatenate(apart)
        errors = np.moveaxis(errors, 1, 0).reshape(errors.shape[1], -1)
        lost[name] = float((errors**2).mean())
        if name == "ours":
            spread = np.sqrt((errors**2).mean())
            assert np.abs(errors.mean(axis=1)).max() < 0.2 * spread + 1e-5
    assert lost["ours"] < 0.7 * lost["plain"]


@pytest.mark.parametrize(
    ("told", "bias"), [({"beta": 0.5}, (8,)), ({"alpha": 2.0}, (8,)), ({}, (1,))]
)
def test_a_bias_that_cannot_take_the_mean_is_left(
    told: dict[str, Any], bias: tuple[int, ...]
) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], **told)
    net = network([node], {"w": drawn(54, 8), "b": drawn(*bias)}, (1, 54))

    assert gather(net, [{"x": drawn(1, 54)}], 1, silent) == {}


def residual(bound: float | None) -> Network:
    """Convolutions around a sum, a depthwise one, and a head."""
    wide = drawn(8, 3, 3, 3)
    wide[2] *= 50  # a channel that leaves the others few steps
    weights: dict[str, Any] = {
        "w0": wide,
        "b0": drawn(8, seed=1),
        "w1": drawn(8, 8, 3, 3, seed=2),
        "w2": drawn(8, 1, 3, 3, seed=3),
        "w3": drawn(5, 8, seed=4),
        "b3": drawn(5, seed=5),
        "low": np.array(0, np.float32),
    }
    weights["w1"][:, 2] /= 50
    weights["w1"][2] *= 50
    weights["w2"][2] /= 50
    bounds = ["low"]
    if bound is not None:
        weights["high"] = np.array(bound, np.float32)
        bounds.append("high")
    make = helper.make_node
    same: dict[str, Any] = {"pads": [1, 1, 1, 1]}
    nodes = [
        make("Conv", ["x", "w0", "b0"], ["a"], **same),
        make("Clip", ["a", *bounds], ["r"]),
        make("Conv", ["r", "w1"], ["c"], **same),
        make("Add", ["r", "c"], ["s"]),
        make("MaxPool", ["s"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Conv", ["p", "w2"], ["d"], group=8, **same),
        make("Relu", ["d"], ["e"]),
        make("GlobalAveragePool", ["e"], ["g"]),
        make("Flatten", ["g"], ["f"]),
        make("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    return network(nodes, weights, (1, 3, 12, 12))


@pytest.mark.parametrize("bound", [None, 6.0])
def test_an_equalised_network_computes_the_same(bound: float | None) -> None:
    net = residual(bound)
    feeds = [{"x": one} for one in pictures(6, 3, 12)]
    flows = observe(net, feeds, 1, silent)

    found, n_changed = equalise(net, flows)

    random = np.random.default_rng(9)
    for _ in range(4):
        x = random.normal(0, 3, (1, 3, 12, 12)).astype(np.float32)
        before, after = computed(net.model, x), computed(found.model, x)
        assert np.abs(after - before).max() <= 1e-4 * np.abs(before).max()
    seen = observe(found, feeds, 1, silent)
    for name in ("x", "y"):
        np.testing.assert_allclose(seen[name].high, flows[name].high, rtol=1e-4)
    if bound is None:
        assert n_changed
        before, after = (
            one["s"].high / np.median(one["s"].high) for one in (flows, seen)
        )
        assert after.max() < 0.5 * before.max()
    else:
        for name in ("w0", "b0", "w1"):
            assert np.array_equal(found.weight(name), net.weight(name)), name


@pytest.mark.parametrize(
    ("op", "told", "weight", "made", "wanted"),
    [
        ("Conv", {}, (8, 3, 3, 3), (1, 8, 10, 12), 8 * 10 * 12 * 27),
        ("Conv", {"group": 8}, (8, 1, 5, 5), (1, 8, 7, 7), 8 * 49 * 25),
        # (1, 4, 5, 5) is read; each number is multiplied by 6 x 4 x 4.
        ("ConvTranspose", {"strides": [2, 2]}, (4, 6, 4, 4), (1, 6, 10, 10), 9600),
        ("ConvTranspose", {"strides": [2, 2]}, (4, 6, 2, 2), (1, 6, 10, 10), 2400),
        ("ConvTranspose", {}, (4, 6, 3, 3), (2, 6, 5, 5), 2 * 25 * 4 * 6 * 9),
        ("Gemm", {}, (64, 10), (1, 10), 640),
        ("Gemm", {"transB": 1}, (10, 64), (1, 10), 640),
        ("MatMul", {}, (64, 10), (1, 7, 10), 7 * 640),
        ("MatMul", {}, (64,), (7,), 7 * 64),
    ],
)
def test_multiply_adds(
    op: str,
    told: dict[str, Any],
    weight: tuple[int, ...],
    made: tuple[int, ...],
    wanted: int,
) -> None:
    node = helper.make_node(op, ["x", "w"], ["y"], **told)
    net = network([node], {"w": np.zeros(weight)}, (1,))

    assert multiply_adds(net, net.nodes[0], made) == wanted


def test_multiply_adds_of_a_weight_on_the_left() -> None:
    node = helper.make_node("MatMul", ["w", "x"], ["y"])
    net = network([node], {"w": np.zeros((10, 64))}, (64, 7))

    assert multiply_adds(net, net.nodes[0], (10, 7)) == 10 * 7 * 64


def two_layers() -> tuple[Network, list[Floats]]:
    """A channel that died: tiny weights, and a bias far below its bound."""
    first = drawn(8, 3, 3, 3)
    first[3] = np.float32(1e-7)
    bias = drawn(8, seed=1)
    bias[3] = -6
    weights: dict[str, Any] = {
        "w0": first,
        "b0": bias,
        "w1": drawn(8, 8, 3, 3, seed=2),
        "b1": drawn(8, seed=3),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["a"]),
        helper.make_node("Clip", ["a", "low", "high"], ["r"]),
        helper.make_node("Conv", ["r", "w1", "b1"], ["y"]),
    ]
    return network(nodes, weights, (1, 3, 12, 12)), pictures(8, 3, 12)


def scheme_of(net: Network, inputs: list[Floats], **told: Any) -> Scheme:
    flows = observe(net, [{"x": one} for one in inputs], 1, silent)
    steps = {
        node.name: scales(net, node, flows[node.input[0]].range, 7)
        for node in net.weighted()
    }
    ranges = {name: one.range for name, one in flows.items()}
    return Scheme(ranges=ranges, steps=steps, **told)


def test_a_channel_that_died_stays_shut_in_eight_bits() -> None:
    net, inputs = two_layers()

    model = as_int8(net, scheme_of(net, inputs))

    (read,) = (node.input[0] for node in model.graph.node if node.name == "n2")
    exposed = Network(model).exposing([read])
    session = open_session(exposed.SerializeToString(), threads=1)
    for x in inputs:
        wanted = computed(net.model, x)
        found, *inner = run(session, {"x": x})
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
        assert not inner[0][:, 3].any()
        assert np.abs(computed(model, x) - wanted).max() < 0.05 * np.abs(wanted).max()


def test_the_same_makes_the_same_bytes() -> None:
    net, inputs = two_layers()

    first, second = (
        as_int8(net, scheme_of(net, inputs)).SerializeToString(deterministic=True)
        for _ in range(2)
    )

    assert first == second


@pytest.mark.parametrize(
    ("floats", "share"), [((), 0.0), (("n2",), 0.5), (("n0", "n1"), 0.5)]
)
def test_what_stays_float_is_told(floats: tuple[str, ...], share: float) -> None:
    net, inputs = two_layers()

    model = as_int8(net, scheme_of(net, inputs, floats=frozenset(floats)))

    types = types_of(model, net)
    assert {name: types[name] for name in ("n0", "n2")} == {
        name: FLOAT if name in floats else INT8 for name in ("n0", "n2")
    }
    assert float_share(net, types, {"n0": 100, "n2": 100}) == share
    stored = {one.name for one in model.graph.initializer}
    assert ("w0" in stored, "w1" in stored) == ("n0" in floats, "n2" in floats)


def logits(*rows: list[float]) -> Said:
    return Said([[np.array([row], np.float32)] for row in rows])


def test_findings_count_what_float_is_sure_of() -> None:
    sure, unsure = [5.0, 0, 0, 0, 0, 0, 0], [0.1, 0, 0, 0, 0, 0, 0]
    other = [0.0, 5, 0, 0, 0, 0, 0]
    reference = logits(sure, sure, unsure, sure)
    found = logits(sure, sure, other, other)

    by_name = {
        one.name: one for one in findings(reference, found, ["a", "a", "b", "b"])
    }

    assert by_name["agreement"].value == pytest.approx(2 / 3)
    assert by_name["agreement"].n == 3
    assert by_name["agreement_all"].value == 0.5
    assert by_name["in_top_5"].value == 1
    assert agreement(reference, found, 0.2) == pytest.approx(2 / 3)
    # By photograph: one is all right and the other all wrong, so any share can be.
    assert (by_name["agreement_all"].low, by_name["agreement_all"].high) == (0, 1)


def text(*steps: int, lead: float = 0.8) -> list[Array]:
    """Returns the probabilities of four classes, step by step, (1, steps, classes)."""
    low = (1 - lead) / 4
    rows = np.full((1, len(steps), 4), low, np.float32)
    rows[0, np.arange(len(steps)), list(steps)] = 1 - 3 * low
    return [rows]


def test_text_is_read_as_ctc_reads_it() -> None:
    sources = ["a", "a", "b", "b"]
    unsure = text(1, lead=0.1), text(2, lead=0.1)
    reference = Said([text(1, 1, 0, 1, 2), text(3, 0, 0), text(0, 0), unsure[0]])
    found = Said([text(1, 0, 1, 1, 2), text(3, 2, 0), text(0, 0), unsure[1]])

    assert not reference.is_classes
    assert reference.chosen == [(1, 1, 2), (3,), (), (1,)]
    np.testing.assert_allclose(reference.lead, [0.8, 0.8, 0.8, 0.1], rtol=1e-5)
    assert reference.same(found).tolist() == [True, False, True, False]
    by_name = {one.name: one for one in findings(reference, found, sources)}
    assert by_name["agreement"].n == 3
    assert by_name["agreement"].value == pytest.approx(2 / 3)
    assert by_name["agreement_all"].value == 0.5
    assert "in_top_5" not in by_name
    told = samples(reference, found, sources)
    assert (told[0].reference, told[0].quantized) == (
        "class 3 (leads by 0.80)",
        "class 3 2 (leads by 0.80)",
    )
    assert told[2].reference.startswith("class 1 1 2 ")


def test_numbers_of_three_dimensions_that_are_no_probabilities_are_measured() -> None:
    said = Said([[np.array([[[0.5, -0.5], [2.0, 1.0]]])]])

    assert not said.is_choice
    assert [one.name for one in findings(said, said, ["a"])] == ["sqnr", "error_0"]


def test_pictures_that_are_made_are_compared_by_their_structure() -> None:
    random = np.random.default_rng(3)
    picture = random.random((1, 3, 16, 16))
    said, noisy, turned = (
        Said([[one]])
        for one in (
            picture,
            picture + random.normal(0, 0.1, picture.shape),
            1 - picture,
        )
    )

    def ssim(other: Said) -> float:
        return {one.name: one.value for one in findings(said, other, ["a"])}["ssim_0"]

    assert ssim(said) == pytest.approx(1)
    assert 0.7 < ssim(noisy) < 0.99
    assert ssim(turned) < -0.9
    # One window: by the formula, written out.
    x, y = picture[0, :1, :7, :7], noisy.outputs[0][0][0, :1, :7, :7]
    span = np.ptp(x)
    a, b = (0.01 * span) ** 2, (0.03 * span) ** 2
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    value = (2 * x.mean() * y.mean() + a) * (2 * covariance + b)
    value /= (x.mean() ** 2 + y.mean() ** 2 + a) * (x.var() + y.var() + b)
    found = findings(Said([[x[None]]]), Said([[y[None]]]), ["a"])
    assert {one.name: one.value for one in found}["ssim_0"] == pytest.approx(value)


def test_the_range_with_the_least_divergence_leaves_out_what_is_rare() -> None:
    random = np.random.default_rng(4)
    usual = random.normal(0, 1, 20_000).astype(np.float32)

    def found(values: Floats) -> tuple[float, float]:
        ends = np.array([values.min()]), np.array([values.max()])
        flow = Flow(
            low=ends[0],
            high=ends[1],
            square=ends[0],
            values=np.sort(values),
            shape=(1,),
        )
        return least_divergent(flow)

    low, high = found(np.append(usual, np.float32(40)))
    assert usual.min() <= low < -3
    assert 3 < high < 8
    assert found(np.abs(usual))[0] == np.abs(usual).min()
    assert found(np.zeros(9, np.float32)) == (0, 0)
    # What is spread evenly is not cut off.
    even = np.linspace(-1, 1, 20_001, dtype=np.float32)
    assert found(even) == pytest.approx((-1, 1), abs=0.02)


def gated() -> Network:
    """Two convolutions with a gate between them, summed up behind the second."""
    random = np.random.default_rng(6)
    made = [
        helper.make_node("Conv", ["x", "w"], ["a"], "first"),
        helper.make_node("Sigmoid", ["a"], ["b"], "gate"),
        helper.make_node("Mul", ["a", "b"], ["c"], "gated"),
        helper.make_node("Conv", ["c", "w"], ["d"], "second"),
        helper.make_node("Add", ["c", "d"], ["y"], "sum"),
    ]
    weight = random.normal(0, 1, (2, 2, 1, 1)).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        made,
        "gated",
        [value("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [value("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    return Network(helper.make_model(graph, opset_imports=opsets, ir_version=8))


@pytest.mark.parametrize("is_layers", [False, True])
def test_layers_alone_leave_gates_and_sums_float(is_layers: bool) -> None:
    net = gated()
    inputs = pictures(8, 2, 4)
    ranges = {
        name: one.range
        for name, one in observe(net, [{"x": x} for x in inputs], 1, silent).items()
    }

    model = as_int8(net, Scheme(ranges=ranges, is_layers=is_layers))

    between = FLOAT if is_layers else INT8
    assert types_of(model, net) == {
        "first": INT8,
        "second": INT8,
        "gate": between,
        "gated": between,
        "sum": between,
    }
    wanted, found = computed(net.model, inputs[0]), computed(model, inputs[0])
    assert 0 < np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_channels_spread_around_gates_lose_less() -> None:
    """Hard swish between layers, and a channel that is far larger than others."""
    random = np.random.default_rng(7)
    large = np.array([1, 1, 1, 40], np.float32)[:, None, None, None]
    weights: dict[str, npt.NDArray[Any]] = {
        "w0": random.normal(0, 1, (4, 2, 1, 1)).astype(np.float32) * large,
        "w1": random.normal(0, 1, (4, 1, 3, 3)).astype(np.float32) / large,
        "w2": random.normal(0, 1, (3, 4, 1, 1)).astype(np.float32),
        "three": np.array(3, np.float32),
        "six": np.array(6, np.float32),
        "zero": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"]),
        helper.make_node("Add", ["a", "three"], ["b"]),
        helper.make_node("Clip", ["b", "zero", "six"], ["c"]),
        helper.make_node("Mul", ["a", "c"], ["d"]),
        helper.make_node("Div", ["d", "six"], ["e"]),
        helper.make_node("Conv", ["e", "w1"], ["f"], group=4, pads=[1] * 4),
        helper.make_node("Sigmoid", ["f"], ["g"]),
        helper.make_node("Mul", ["f", "g"], ["h"]),
        helper.make_node("Conv", ["h", "w2"], ["y"]),
    ]
    net = network(nodes, weights, (1, 2, 16, 16))
    inputs = pictures(8, 2, 16)
    feeds = [{"x": x} for x in inputs]
    flows = observe(net, feeds, 1, silent)

    even, n_changed = spread(net, flows)

    assert n_changed == 4  # what both of the first make, and what both of the last read
    wanted = Said([[computed(net.model, x)] for x in inputs])
    assert noise_db(wanted, Said([[computed(even.model, x)] for x in inputs])) > 90
    assert useful(net) == {"a": (-3, np.inf), "f": (-8, np.inf)}

    def noise(of: Network) -> float:
        ranges = {
            name: one.range for name, one in observe(of, feeds, 1, silent).items()
        }
        model = as_int8(of, Scheme(ranges=ranges, is_layers=True))
        return noise_db(wanted, Said([[computed(model, x)] for x in inputs]))

    assert noise(even) > noise(net) + 6


def test_what_follows_a_layer_is_quantized_with_it() -> None:
    net = gated()
    types = {node.name: INT8 for node in net.nodes} | {"gate": FLOAT}

    parts = parts_of(net, types)

    assert {name: [one.name for one in part] for name, part in parts.items()} == {
        "first": ["first", "gated"],
        "second": ["second", "sum"],
    }


def test_noise_is_that_of_the_worst_output() -> None:
    one, two = np.ones((1, 4)), np.full((1, 4), 2.0)
    reference, other = Said([[one, two]]), Said([[one * 1.01, two * 1.1]])

    assert noise_db(reference, other) == pytest.approx(20)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_all_noise(bad: float) -> None:
    reference = Said([[np.ones((1, 2, 3))]])
    other = Said([[np.full((1, 2, 3), bad)]])

    assert noise_db(reference, other) < -100


@pytest.mark.parametrize("n_nodes", [1, 2, 7, 12])
def test_the_fewest_that_do_stay_float(n_nodes: int) -> None:
    order = [f"n{at}" for at in range(n_nodes)]

    def make(floats: frozenset[str]) -> onnx.ModelProto:
        return onnx.ModelProto(doc_string=" ".join(sorted(floats)))

    for least in range(n_nodes + 2):
        tried: list[int] = []

        def is_enough(
            model: onnx.ModelProto, least: int = least, tried: list[int] = tried
        ) -> bool:
            tried.append(len(model.doc_string.split()))
            return tried[-1] >= least

        floats, model = fewest_floats(order, make, is_enough, silent)

        assert floats == set(order[:least])
        assert model == make(floats)
        assert len(tried) <= 2 + 2 * np.log2(n_nodes + 1)


def test_nothing_to_leave_float_is_no_endless_search() -> None:
    floats, _ = fewest_floats([], lambda _: onnx.ModelProto(), lambda _: False, silent)

    assert not floats


def test_a_column_that_never_flows_is_rounded_all_the_same() -> None:
    net, _ = one_layer("gemm turned")
    zero = np.zeros((1, 54, 54))
    together = {"n0": Together(means=np.zeros((1, 54)), products=zero)}
    steps = scales(net, net.nodes[0], (0.0, 0.0), 8)

    found = rounded(net, together, {"n0": steps}, 8).weight("w")

    np.testing.assert_allclose(found, net.weight("w"), atol=steps.max() / 2 + 1e-6)
