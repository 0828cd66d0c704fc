"""Builds the content tree of a structured report (PS3.16, TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from plainfilm.pacs import content_items as items
from plainfilm.pacs.codes import PRIVATE_SCHEME, Code, CodeTable, code_text
from plainfilm.pacs.results import AnsweredImage, Evaluation, Model, Refusal, State, decimals
from plainfilm.pacs.signature import DESCRIPTION, MANUFACTURER, MODEL_NAME, derived_uid

__all__ = ["content_tree"]


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


_LANGUAGE = Code("en-US", "RFC5646", "English (United States)")
_PROCEDURE = Code("43468-8", "LN", "XR unspecified body region")
_NO_UNITS = Code("1", "UCUM", "no units")
_UNUSABLE = _dcm("111235", "Unusable - Quality renders image unusable")
_STATES: dict[State, Code] = {
    "present": Code("52101004", "SCT", "Present"),
    "absent": Code("272519000", "SCT", "Absent"),
    "undetermined": Code("373068000", "SCT", "Undetermined"),
}
_NOTE = ["no prediction; the assessment is about use by this model, not about reading"]
_CONTEXT, _MODIFIER, _CONTAINS = "HAS OBS CONTEXT", "HAS CONCEPT MOD", "CONTAINS"


def content_tree(model: Model, images: Sequence[AnsweredImage], codes: CodeTable) -> Dataset:
    """Return the content tree (TID 1500)."""
    groups = [group for image in images for group in _groups(model, image, codes)]
    top = [
        items.coded(
            _MODIFIER, _dcm("121049", "Language of Content Item and Descendants"), _LANGUAGE
        ),
        items.coded(_CONTEXT, _dcm("121005", "Observer Type"), _dcm("121007", "Device")),
        items.uid(
            _CONTEXT,
            _dcm("121012", "Device Observer UID"),
            derived_uid("device", model.bundle_id),
        ),
        items.text(_CONTEXT, _dcm("121013", "Device Observer Name"), DESCRIPTION),
        items.text(_CONTEXT, _dcm("121014", "Device Observer Manufacturer"), MANUFACTURER),
        items.text(_CONTEXT, _dcm("121015", "Device Observer Model Name"), MODEL_NAME),
        items.text(_CONTEXT, _dcm("121016", "Device Observer Serial Number"), model.bundle_id),
        items.coded(_MODIFIER, _dcm("121058", "Procedure reported"), _PROCEDURE),
        items.container(_CONTAINS, _dcm("126010", "Imaging Measurements"), groups),
    ]
    return items.container(None, _dcm("126000", "Imaging Measurement Report"), top, "1500")


def _groups(model: Model, image: AnsweredImage, codes: CodeTable) -> Iterator[Dataset]:
    """Yield the measurement groups (TID 1501) of one image."""
    prediction = image.prediction
    if image.refusal is not None or prediction is None or prediction.reason is not None:
        refusal = image.refusal or Refusal("no-prediction", "The image has no prediction")
        yield _group(model, image, f"no prediction: {refusal.code}", _reasons(refusal), _NOTE)
        return
    for evaluation in model.evaluate(prediction):
        state = items.coded(_CONTAINS, codes.of(evaluation.label), _STATES[evaluation.state])
        value = f"{evaluation.probability:.{_decimals(model, evaluation)}f}"
        probability = items.number(_CONTAINS, _dcm("122157", "Probability"), value, _NO_UNITS)
        rules = _rules(model, evaluation)
        yield _group(model, image, evaluation.label, [state, probability], rules)


def _group(
    model: Model,
    image: AnsweredImage,
    name: str,
    answer: Sequence[Dataset],
    rules: Sequence[str],
) -> Dataset:
    """Return a group: what the model says on an image, and what says so."""
    uid = derived_uid(image.header.sop_uid, model.bundle_id, name, "tracking")
    parameters = (f"bundle {model.bundle_id}", *rules, code_text(model.origin, 200))
    group = [
        items.text(_CONTEXT, _dcm("112039", "Tracking Identifier"), code_text(name, 1024)),
        items.uid(_CONTEXT, _dcm("112040", "Tracking Unique Identifier"), uid),
        *answer,
        items.image(
            _CONTAINS,
            _dcm("121112", "Source of Measurement"),
            image.header.sop_class,
            image.header.sop_uid,
        ),
        items.text(_MODIFIER, _dcm("111001", "Algorithm Name"), f"plainfilm, model {model.name}"),
        items.text(_MODIFIER, _dcm("111003", "Algorithm Version"), model.version),
        *(
            items.text(_MODIFIER, _dcm("111002", "Algorithm Parameters"), parameter)
            for parameter in parameters
        ),
        items.coded(
            _MODIFIER,
            _dcm("111000", "Algorithm Family"),
            _dcm("123110", "Artificial Intelligence"),
        ),
    ]
    return items.container(_CONTAINS, _dcm("125007", "Measurement Group"), group, "1501")


def _reasons(refusal: Refusal) -> list[Dataset]:
    reason = Code(refusal.code, PRIVATE_SCHEME, code_text(refusal.meaning))
    return [
        items.coded(_CONTAINS, _dcm("111050", "Quality Assessment"), _UNUSABLE),
        items.coded(_CONTAINS, _dcm("111052", "Quality Finding"), reason),
    ]


def _rules(model: Model, evaluation: Evaluation) -> list[str]:
    """Return in words how the probability decides."""
    point, limits = evaluation.point, model.indeterminate.get(evaluation.label)
    count = _decimals(model, evaluation)
    if model.task.kind == "multiclass":
        rules = ["the class with the highest probability is present"]
    elif point is None:
        rules = ["no operating point, therefore undetermined"]
    else:
        rules = [
            f"operating point {point.name}: present from probability {point.threshold:.{count}f}"
        ]
    if limits is not None:
        low, high = (f"{limit:.{count}f}" for limit in (limits.low, limits.high))
        rules.append(f"undetermined from probability {low} to below {high}, which has precedence")
    return rules


def _decimals(model: Model, one: Evaluation) -> int:
    """Return how many decimals show on which side of each limit a probability is."""
    limits = [] if one.point is None else [one.point.threshold]
    if (found := model.indeterminate.get(one.label)) is not None:
        limits += [found.low, found.high]
    return decimals(6, one.probability, *limits)
