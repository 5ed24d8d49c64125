"""The TFLite metadata flatbuffer: what a model's tensors mean, for tools that are not ours."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as model_schema
from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

from edge.contract import CARD_NAME, LABELS_NAME, ModelCard


def described(network: bytes, card: ModelCard) -> bytes:
    """The network with a TFLITE_METADATA buffer made from the card."""
    model = model_schema.ModelT.InitFromPackedBuf(network)
    buffer, entry = model_schema.BufferT(), model_schema.MetadataT()
    buffer.data = np.frombuffer(_metadata(card), np.uint8)
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return _packed(model, b"TFL3")


def _packed(table: Any, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder(0)
    builder.Finish(table.Pack(builder), identifier)
    return bytes(builder.Output())


def _metadata(card: ModelCard) -> bytes:
    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata, graph.outputTensorMetadata = [_face(card)], [_logits()]
    model = schema.ModelMetadataT()
    model.name, model.version, model.license = card.name, card.version, _licence(card)
    model.description = f"Facial expression of one face; {CARD_NAME} in this file says how to prepare it."
    model.subgraphMetadata = [graph]
    model.associatedFiles = [_file(CARD_NAME, "The model card", schema.AssociatedFileType.DESCRIPTIONS)]
    model.minParserVersion = "1.0.0"
    return _packed(model, b"M001")


def _licence(card: ModelCard) -> str:
    terms = "; ".join(card.train.get("licences", ())) or "see its card"
    return f"Apache-2.0; trained on data with terms of its own: {terms}"


def _face(card: ModelCard) -> Any:
    """The input: its colours, and (pixel - mean) / std as `contract.scale_pixels` does it."""
    normal, unit = schema.NormalizationOptionsT(), schema.ProcessUnitT()
    spec = card.input
    normal.std = [255 / (spec.high - spec.low)] * spec.channels
    normal.mean = [-spec.low * normal.std[0]] * spec.channels
    unit.optionsType, unit.options = schema.ProcessUnitOptions.NormalizationOptions, normal
    colours, content = schema.ImagePropertiesT(), schema.ContentT()
    grey = spec.channels == 1
    colours.colorSpace = schema.ColorSpaceType.GRAYSCALE if grey else schema.ColorSpaceType.RGB
    content.contentPropertiesType, content.contentProperties = schema.ContentProperties.ImageProperties, colours
    tensor = schema.TensorMetadataT()
    tensor.name, tensor.description, tensor.content, tensor.processUnits = "face", "One face", content, [unit]
    return tensor


def _logits() -> Any:
    kind, content = schema.FeaturePropertiesT(), schema.ContentT()
    content.contentPropertiesType, content.contentProperties = schema.ContentProperties.FeatureProperties, kind
    tensor = schema.TensorMetadataT()
    tensor.name, tensor.description, tensor.content = "logits", "One logit a label; softmax is the reader's", content
    tensor.associatedFiles = [_file(LABELS_NAME, "The labels in order", schema.AssociatedFileType.TENSOR_AXIS_LABELS)]
    return tensor


def _file(name: str, description: str, kind: int) -> Any:
    file = schema.AssociatedFileT()
    file.name, file.description, file.type = name, description, kind
    return file
