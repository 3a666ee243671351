"""Writes the documents in ``examples/documents``: two PDFs, a Markdown file and a text file.

Run from the repository's root: ``python recipes/make_example_documents.py``. The output is the
same to the byte every time. Every fact stands once, on one page; amounts, dates and periods come
in pairs, so that an answer has to come from the right sentence.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import cm
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer

RENTAL_CONTRACT = (
    (
        "1. Parties and premises",
        "This rental contract is made between Alder Property Management as the landlord and Helen "
        "Brandt as the tenant. The premises are the ground floor office at 14 Alder Lane in "
        "Bristol. The office has a floor area of 86 square metres.",
        "The tenancy begins on 1 April 2025. The keys are handed over on 28 March 2025. The "
        "tenancy runs for three years. The tenant uses the premises as an architecture studio. "
        "Two parking spaces in the courtyard belong to the premises. They carry the numbers 17 "
        "and 18.",
    ),
    (
        "2. Rent and payments",
        "The monthly rent is 1,450 pounds. The rent is due on the third working day of each "
        "month. The service charge is 210 pounds per month and covers heating, water and the "
        "cleaning of the stairs. The rent is reviewed for the first time after 18 months.",
        "The security deposit is 4,350 pounds. It is held in an account at Severn Bank. A "
        "separate key deposit of 75 pounds is paid for the four keys. Late payments bear interest "
        "of 5 percent per year.",
    ),
    (
        "3. Care and end of the tenancy",
        "Small repairs up to 120 pounds are paid by the tenant. The landlord repairs the roof, "
        "the windows and the heating system. Pets are not allowed in the premises.",
        "The notice period for the tenant is six months. The notice period for the landlord is "
        "nine months. Notice must be given in writing. At the end of the tenancy the walls are "
        "painted white. The contract was signed on 12 February 2025. Owen Clarke signed for the "
        "landlord.",
    ),
)

HEAT_PUMP_WARRANTY = (
    (
        "1. Product and installation",
        "This warranty covers the heat pump Norda 9 with the serial number HP-48213. The heat "
        "pump was made by Norda Thermal in Aarhus. It was delivered on 6 May 2025 and installed "
        "on 13 May 2025. The installation was carried out by Fenwick Heating. The engineer in "
        "charge was Priya Nair.",
        "The heat pump has a heating output of 9 kilowatts. The outdoor unit stands behind the "
        "bicycle shed. Its sound level is 47 decibels at a distance of three metres. The "
        "refrigerant is propane.",
    ),
    (
        "2. Terms of the warranty",
        "The warranty period for the heat pump is 24 months. The warranty period for the "
        "compressor is 60 months. Both periods begin on the day of installation. The warranty "
        "covers parts and labour. Travel costs of the engineer are covered in the first year "
        "only. Filters and seals are not covered.",
        "A defect must be reported within 14 days. Defects are reported to the service centre in "
        "Leeds. The warranty ends early if anyone other than a certified engineer opens the "
        "refrigerant circuit.",
    ),
    (
        "3. Maintenance and costs",
        "The heat pump must be serviced once a year. The annual service costs 185 pounds. The "
        "first service is due in June 2026. The filter is cleaned every three months. The water "
        "pressure in the heating circuit should be 1.5 bar.",
        "The purchase price of the heat pump was 8,900 pounds. The installation cost 2,300 "
        "pounds. The buyer received a grant of 3,000 pounds. An extended warranty can be bought "
        "for 640 pounds. Replacement parts are sent within five working days.",
    ),
)

STUDIO_HANDBOOK = """\
# Studio handbook

## Opening hours and visitors

The studio is open from 8:30 to 18:00 on weekdays. Visitors sign the book at the reception desk.
The large meeting room seats 12 people. It is booked with Daniel Osei.

## Safety

The fire assembly point is the car park of the library. The alarm is switched off by the first
person who arrives. Lost keys must be reported to Ruth Adeyemi on the same day.

## Equipment

The printer is leased from Brightcopy until 31 August 2027. Paper is ordered on the first Tuesday
of the month. Drawings are kept for ten years.
"""

SITE_MEETING = """\
Notes of the site meeting

The meeting took place on 3 June 2025. The heat pump runs without faults. The hot water is set to
52 degrees.

The broken window in the kitchen will be replaced by 20 June 2025. The glazier charges 310 pounds
for the window. Helen Brandt asks for a bicycle rack with eight places. Owen Clarke will answer
this request by the end of July.

The next meeting takes place on 9 September 2025 at 10:00.
"""


def write_pdf(path: Path, title: str, pages: tuple[tuple[str, ...], ...]) -> None:
    """Typeset pages, each a heading and paragraphs, on a page of their own."""
    styles = getSampleStyleSheet()
    body = styles["BodyText"].clone("Body", fontSize=11, leading=16, spaceAfter=10)
    flow: list[Flowable] = [Paragraph(title, styles["Title"]), Spacer(1, 0.4 * cm)]
    for number, (heading, *paragraphs) in enumerate(pages):
        if number:
            flow.append(PageBreak())
        flow.append(Paragraph(heading, styles["Heading2"]))
        flow.extend(Paragraph(text, body) for text in paragraphs)
    margins = {f"{side}Margin": 2.5 * cm for side in ("left", "right", "top", "bottom")}
    author = "The pace-integrations developers"
    # Without the invariant mode the file carries the time at which it was written.
    SimpleDocTemplate(
        str(path), pagesize=A4, title=title, author=author, invariant=1, **margins
    ).build(flow)


def main(folder: Path) -> None:
    """Write the four documents into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pdf(folder / "rental-contract.pdf", "Rental contract", RENTAL_CONTRACT)
    write_pdf(folder / "heat-pump-warranty.pdf", "Heat pump warranty", HEAT_PUMP_WARRANTY)
    (folder / "studio-handbook.md").write_text(STUDIO_HANDBOOK, encoding="utf-8", newline="\n")
    (folder / "site-meeting.txt").write_text(SITE_MEETING, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else root / "examples" / "documents")
