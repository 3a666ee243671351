"""Plain look-ups in the example folder, written before any model had seen it: none is tuned to."""

# question, words the answer must contain, document, 1-based page
# The templates of planted facts that the embedded model is trained on state some of the same
# relations, with other values and in other documents; those come first.
LOOKUPS = [
    ("What is the monthly rent?", "1,450", "Rental contract", 2),
    ("How much is the security deposit?", "4,350", "Rental contract", 2),
    ("Who signed for the landlord?", "Owen Clarke", "Rental contract", 3),
    ("What is the notice period for the tenant?", "six months", "Rental contract", 3),
    ("How long is the warranty period for the heat pump?", "24 months", "Heat pump warranty", 2),
    ("What is the serial number of the heat pump?", "HP-48213", "Heat pump warranty", 1),
    ("When is the next meeting?", "9 September 2025", "site-meeting.txt", 1),
    ("When does the tenancy begin?", "1 April 2025", "Rental contract", 1),
    ("How much does the annual service cost?", "185", "Heat pump warranty", 3),
    ("Where is the service centre?", "Leeds", "Heat pump warranty", 2),
    ("Who carried out the installation?", "Fenwick Heating", "Heat pump warranty", 1),
    ("What is the refrigerant?", "propane", "Heat pump warranty", 1),
    ("How often is the filter cleaned?", "three months", "Heat pump warranty", 3),
    ("How many people does the large meeting room seat?", "12", "Studio handbook", 1),
    ("Where is the fire assembly point?", "library", "Studio handbook", 1),
    ("To whom must lost keys be reported?", "Ruth Adeyemi", "Studio handbook", 1),
]
UNANSWERABLE = [
    "What is the name of the tenant's dog?",
    "How much does the elevator cost?",
    "When was the roof painted?",
    "Who teaches the evening class?",
]
