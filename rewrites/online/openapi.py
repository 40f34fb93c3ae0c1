"""The description of the server of rewrites, as an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from rewrites.online.rewriter import LONGEST


def _optional(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": description, **more}


_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["text"],
    "additionalProperties": False,
    "properties": {
        "text": {
            "type": "string",
            "maxLength": LONGEST,
            "description": "What was heard: the first hypothesis of speech recognition.",
        },
        "user_id": _optional("string", "Who said it, as in the logs."),
        "device": {
            "description": "The type of the device, or the device as in a trace.",
            "oneOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "type": _optional("string", "The type of the device."),
                        "state": _optional(
                            "object",
                            "Its state; `location` or `room` says where it is.",
                            additionalProperties={"type": "string"},
                        ),
                    },
                },
                {"type": "null"},
            ],
        },
        "at": {
            "description": "When it was said: an RFC 3339 time, or seconds since 1970.",
            "oneOf": [
                {"type": "string", "format": "date-time"},
                {"type": "number"},
                {"type": "null"},
            ],
        },
        "location": _optional("string", "Where it was said, if the device does not tell."),
        "before": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What was said before in the session, the last text last.",
        },
        "frame": _optional("string", "What NLU made of the text: domain|intent|slot=value."),
        "assistant": _optional("string", "Which assistant; the one with the most turns if null."),
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["text", "rewrite", "score", "method", "candidates", "why"],
    "properties": {
        "text": {"type": "string", "description": "What was asked."},
        "rewrite": _optional("string", "What to hear instead; null to leave it as it is."),
        "score": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "The probability that the request fails and the rewrite is wanted.",
        },
        "method": {
            "type": "string",
            "description": "taught, method of an exact row, ranking, or none.",
        },
        "candidates": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["text", "score"],
                "properties": {"text": {"type": "string"}, "score": {"type": "number"}},
            },
        },
        "why": {"type": "string", "description": "A sentence for people."},
    },
}
_REFUSED = {
    "400": "The body is not valid JSON.",
    "413": "The body is too large.",
    "415": "The body is not sent as JSON.",
    "422": "The body does not fit the schema.",
}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _named(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Faultline rewrites",
        "version": "1",
        "summary": "What to hear instead of a request that is going to fail, if anything.",
    },
    "paths": {
        "/rewrite": {
            "post": {
                "operationId": "rewrite",
                "requestBody": {"required": True, "content": _content(_named("Request"))},
                "responses": {
                    "200": {"description": "An answer.", "content": _content(_named("Answer"))},
                    **{
                        status: {"description": why, "content": _content(_named("Error"))}
                        for status, why in _REFUSED.items()
                    },
                },
            }
        },
        "/health": {
            "get": {
                "operationId": "health",
                "responses": {
                    "200": {"description": "In service.", "content": _content(_named("Health"))}
                },
            }
        },
        "/ready": {
            "get": {
                "operationId": "ready",
                "responses": {
                    "200": {"description": "It answers.", "content": _content(_named("Ready"))},
                    "503": {"description": "It cannot.", "content": _content(_named("Ready"))},
                },
            }
        },
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "responses": {
                    "200": {
                        "description": "Figures, in Prometheus's text format.",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    }
                },
            }
        },
        "/openapi.json": {
            "get": {
                "operationId": "document",
                "responses": {
                    "200": {
                        "description": "This document.",
                        "content": _content({"type": "object"}),
                    }
                },
            }
        },
    },
    "components": {
        "schemas": {
            "Request": _REQUEST,
            "Answer": _ANSWER,
            "Error": {
                "type": "object",
                "required": ["error"],
                "properties": {"error": {"type": "string"}},
            },
            "Ready": {
                "type": "object",
                "required": ["ready", "problem"],
                "properties": {
                    "ready": {"type": "boolean"},
                    "problem": _optional("string", "Why requests cannot be answered."),
                },
            },
            "Health": {
                "type": "object",
                "required": ["status", "generation", "loaded_at", "problem", "index"],
                "properties": {
                    "status": {"enum": ["ok", "stale"]},
                    "generation": _optional("string", "The generation of the index in use."),
                    "loaded_at": {"type": "string", "format": "date-time"},
                    "problem": _optional("string", "Why a newer index could not be read."),
                    "index": {"type": "object"},
                },
            },
        }
    },
}
