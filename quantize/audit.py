"""Which operations of a TFLite network are not integer all through: a float island costs time, and old runtimes refuse
some."""

from collections.abc import Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema

INTEGERS = (schema.TensorType.INT8, schema.TensorType.INT32)
"""What an int8 network consists of: int8 weights and activations; int32 for biases, shapes and paddings."""


def not_int8(network: bytes) -> list[str]:
    """Each operation with a tensor that is neither int8 nor int32, and which; empty for a network that is all int8.

    Read from the file and not from an interpreter, which would show a delegate's nodes instead.
    """
    model = schema.Model.GetRootAs(network, 0)
    return [
        f"{_operator(model, operator)}: {', '.join(sorted(found))}"
        for graph in (model.Subgraphs(index) for index in range(model.SubgraphsLength()))
        for operator in (graph.Operators(index) for index in range(graph.OperatorsLength()))
        if (found := set(_others(graph, operator)))
    ]


def _others(graph: Any, operator: Any) -> Iterator[str]:
    """Types other than INTEGERS among an operation's tensors; -1 stands for one left out."""
    used = [operator.Inputs(index) for index in range(operator.InputsLength())]
    used += [operator.Outputs(index) for index in range(operator.OutputsLength())]
    for index in used:
        if index >= 0 and (kind := graph.Tensors(index).Type()) not in INTEGERS:
            yield _name(schema.TensorType, kind)


def _operator(model: Any, operator: Any) -> str:
    code = model.OperatorCodes(operator.OpcodeIndex())
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # files before 2020 fill in the second one only
    if builtin == schema.BuiltinOperator.CUSTOM:
        return str(code.CustomCode().decode())
    return _name(schema.BuiltinOperator, builtin)


def _name(numbers: type, number: int) -> str:
    return next(name for name, each in vars(numbers).items() if each == number)
