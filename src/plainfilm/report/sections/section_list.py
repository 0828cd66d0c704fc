"""The sections of a report, in the order of the page."""

from __future__ import annotations

from plainfilm.report.audit.findings import audit_section
from plainfilm.report.content import ReportContent
from plainfilm.report.html.page import Section, section_id
from plainfilm.report.sections.analyses import (
    rejection_section,
    robustness_section,
    subgroups_section,
)
from plainfilm.report.sections.checklist import TITLE, checklist_section
from plainfilm.report.sections.crossval import crossval_section
from plainfilm.report.sections.files import data_section, provenance_section
from plainfilm.report.sections.images import errors_section, images_section
from plainfilm.report.sections.metrics import metrics_section
from plainfilm.report.sections.performance import performance_section
from plainfilm.report.sections.readers import readers_section
from plainfilm.report.sections.several import external_section, seeds_section
from plainfilm.report.sections.strata import strata_section
from plainfilm.report.sections.summary import CAVEATS
from plainfilm.report.sections.training import training_section


def list_sections(content: ReportContent) -> list[Section]:
    """Return the sections that have content."""
    evaluation, external, audit = content.evaluation, content.external, content.audit
    single = len(evaluation.labels) == 1
    area = evaluation.main.get("auroc")
    whole = area.value if single and area is not None else None
    found = [
        performance_section(content),
        readers_section(evaluation),
        external_section(external) if external and len(external.rows) > 1 else None,
        crossval_section(content.crossval) if content.crossval else None,
        strata_section(evaluation),
        subgroups_section(evaluation.subgroups, whole),
        robustness_section(evaluation.robustness) if evaluation.robustness else None,
        rejection_section(evaluation.rejection) if evaluation.rejection else None,
        seeds_section(content.seeds) if content.seeds else None,
        training_section(content.training) if content.training else None,
        errors_section(content),
        images_section(content),
        metrics_section(content),
        Section("Data audit", [audit_section(audit)]) if audit else None,
        data_section(content),
    ]
    sections = [section for section in found if section is not None]
    titles = [*(section.title for section in sections), TITLE, "Provenance"]
    places = {title: section_id(index) for index, title in enumerate(titles, start=1)}
    checklists = checklist_section(content, {**places, CAVEATS: "caveats"})
    return [*sections, checklists, provenance_section(content)]
