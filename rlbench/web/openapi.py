"""What a server that serves can be asked, as an OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench._version import __version__
from rlbench.web.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
OBJECT = {"type": "object"}
TEXT = {"type": "string"}
SHAPE = {"type": "array", "maxItems": 2, "items": {"type": "integer", "minimum": 0, "maximum": 2**31}}
DATATYPE = {"type": "string", "enum": list(DTYPES)}


def _object(required: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **more}}


def _array(items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


TENSOR = _object({"name": TEXT, "datatype": DATATYPE, "shape": SHAPE}, data={"type": "array"}, parameters=OBJECT)
METADATA = _object({"name": TEXT, "datatype": DATATYPE, "shape": _array({"type": "integer"})})
SCHEMAS = {
    "Error": _object({"error": TEXT}),
    "Health": _object({"status": {"enum": ["ok"]}, "model": {"type": ["string", "null"]}, "models": _array(TEXT)}),
    "Live": _object({"live": {"type": "boolean"}}),
    "Ready": _object({"ready": {"type": "boolean"}}),
    "Server": _object({"name": TEXT, "version": TEXT, "extensions": _array(TEXT)}),
    "Model": _object(
        {
            "name": TEXT,
            "versions": _array(TEXT),
            "platform": TEXT,
            "inputs": _array(METADATA),
            "outputs": _array(METADATA),
        }
    ),
    "ModelReady": _object({"name": TEXT, "ready": {"type": "boolean"}}),
    "Request": _object(
        {"inputs": _array(TENSOR, minItems=1)},
        id=TEXT,
        outputs=_array(_object({"name": TEXT}, parameters=OBJECT)),
        parameters={
            "type": "object",
            "properties": {
                "binary_data_output": {"type": "boolean"},
                "sequence_id": {"type": ["integer", "string"], "description": "Of an episode that decisions make."},
                "sequence_start": {"type": "boolean"},
                "sequence_end": {"type": "boolean"},
                "reward": {"type": "number", "description": "What the action before brought."},
                "terminated": {"type": "boolean", "description": "The episode ended with this observation."},
                "truncated": {"type": "boolean", "description": "It was cut short with this observation."},
            },
        },
    ),
    "Answer": _object(
        {"model_name": TEXT, "model_version": TEXT, "outputs": _array(TENSOR)},
        id=TEXT,
        parameters=_object({"decision_id": TEXT}),
    ),
}
REFUSALS = {
    "400": "What was sent is malformed or out of range.",
    "401": "A token is needed.",
    "403": "The token is not for this.",
    "404": "This is not served.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "421": "The server is not called by this name.",
    "503": "The store does not answer.",
}


def _of(schema: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{schema}"}}


def _responses(schema: str, *refusals: str, **media: Any) -> dict[str, Any]:
    told = {"content": {JSON: _of("Error"), "text/plain": {"schema": TEXT}}}
    refused = {status: {"description": REFUSALS[status], **told} for status in (*refusals, "401", "421")}
    return {"200": {"description": "The answer.", "content": {JSON: _of(schema), **media}}, **refused}


def _get(name: str, schema: str, *refusals: str) -> dict[str, Any]:
    return {"get": {"operationId": name, "responses": _responses(schema, *refusals)}}


def document_of(served: Mapping[str, list[str]]) -> dict[str, Any]:
    """Returns the OpenAPI document of a server, given the versions that it serves by name."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": list(served)}}
    every = list(dict.fromkeys(version for versions in served.values() for version in versions))
    version = {**name, "name": "version", "schema": {"type": "string", "enum": every}}
    places = {"/v2/models/{name}": ("", [name]), "/v2/models/{name}/versions/{version}": ("OfVersion", [name, version])}
    paths: dict[str, Any] = {
        "/health": _get("health", "Health"),
        "/v2": _get("server", "Server"),
        "/v2/health/live": _get("live", "Live"),
        "/v2/health/ready": _get("ready", "Ready"),
        "/metrics": {"get": {"operationId": "metrics", "responses": _plain_text()}},
        "/openapi.json": {"get": {"operationId": "openapi", "responses": _document()}},
    }
    for path, (end, parameters) in places.items():
        paths[path] = {"parameters": parameters, **_get(f"model{end}", "Model", "403", "404")}
        paths[f"{path}/ready"] = {"parameters": parameters, **_get(f"modelReady{end}", "ModelReady", "403", "404")}
        paths[f"{path}/infer"] = {"parameters": parameters, "post": _inference(f"infer{end}")}
    return {
        "openapi": "3.1.0",
        "info": {"title": "rlbench serve", "version": __version__, "description": "The Open Inference Protocol (V2)."},
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _plain_text() -> dict[str, Any]:
    answered = {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": TEXT}}}
    return {**_responses("Error"), "200": answered}


def _document() -> dict[str, Any]:
    return {**_responses("Error"), "200": {"description": "This text.", "content": {JSON: {"schema": OBJECT}}}}


def _inference(name: str) -> dict[str, Any]:
    values = {
        "name": "values",
        "in": "query",
        "description": "1 adds the action values of an agent, the class probabilities of a model.",
        "schema": {"type": "string", "enum": ["0", "1"]},
    }
    refusals = ("400", "403", "404", "408", "413", "503")
    return {
        "operationId": name,
        "parameters": [values],
        "requestBody": {"required": True, "content": {JSON: _of("Request")}},
        "responses": _responses("Answer", *refusals, **{"application/octet-stream": {"schema": {}}}),
    }
