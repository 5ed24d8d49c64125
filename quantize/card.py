"""Put the model's card into the `.tflite`, by the TFLite metadata convention, so that other tools can read it too.

The convention (ai.google.dev/edge/litert/models/metadata): a flatbuffer named TFLITE_METADATA among the model's
buffers describes the tensors; the files that it names are a ZIP archive behind the model.
"""

import hashlib
import io
import zipfile
from dataclasses import replace

from edge.contract import CARD_NAME, LABELS_NAME, ModelCard


def attach(network: bytes, card: ModelCard) -> bytes:
    """A converter's network with metadata and card; the card's `model_sha256` is filled in."""
    from quantize.metadata import described

    return _zipped(described(network, card), card)


def recarded(file: bytes, card: ModelCard) -> bytes:
    """A file that has a card, with another one; the network's bytes stay."""
    with zipfile.ZipFile(io.BytesIO(file)) as files:
        return _zipped(file[: min(entry.header_offset for entry in files.infolist())], card)


def _zipped(described: bytes, card: ModelCard) -> bytes:
    card = replace(card, model_sha256=hashlib.sha256(described).hexdigest())
    archive = io.BytesIO(described)
    with zipfile.ZipFile(archive, "a") as files:
        for name, text in ((LABELS_NAME, "\n".join(card.labels) + "\n"), (CARD_NAME, card.to_json())):
            files.writestr(zipfile.ZipInfo(name), text)
    return archive.getvalue()
