"""What the OpenAPI document says of the routes."""

from __future__ import annotations

from typing import Any

DESCRIPTION = "Not a medical device."
TAGS: list[dict[str, Any]] = []
PREDICTIONS: dict[str, Any] = {}
STREAM: dict[str, Any] = {}
MODEL: dict[str, Any] = {}
BUNDLES: dict[str, Any] = {}
REPORT: dict[str, Any] = {}
CARD: dict[str, Any] = {}
HEALTH: dict[str, Any] = {}
READY: dict[str, Any] = {}
METRICS: dict[str, Any] = {}
