"""Data of M3ToolEval's layout, invented for tests: a task of each family and what it needs."""

import json
from pathlib import Path

TASKS = [
    ("message_decoder/greeting", "Decode '6a6d' from hexadecimal, then move each letter back by 1.", "il", "str"),
    ("cryptobotanists_plant_dna_sequencer/most", "Which letter does CCA have most of, how many?", ["C", 2], "tuple"),
    ("trade_calculator/three_prices", "Ten, twenty and thirty pounds at a rate of 1.5?", [15.0, 30.0, 45.0], "list"),
    ("travel_itinerary_planning/hill_to_lake", "The cheapest way from Hill to Lake on 2031-05-01?", 40, "int"),
    ("web_browsing/lamp", "What does the lamp cost?\nAnswer in the format of 'xx.xx'.", 9.996, "float"),
]
TOOLS = {
    "message_decoder": [
        ("convert_hex_to_ascii", "convert_hex_to_ascii(hex_string: str) -> str", "Reads hexadecimal."),
        ("reverse_string", "reverse_string(string: str) -> str", "Turns a text around."),
        ("caesar_decode", "caesar_decode(message: str, shift: int) -> str", "Moves letters back."),
        ("string_length", "string_length(string: str) -> int", "Counts characters."),
        ("minimum_value", "minimum_value(*args) -> int/float", "The least."),
        ("maximum_value", "maximum_value(*args) -> int/float", "The greatest."),
    ],
    "cryptobotanists_plant_dna_sequencer": [
        ("count_nucleotides", "count_nucleotides(dna_sequence: str) -> dict", "Counts letters."),
        ("transcribe_dna_to_mrna", "transcribe_dna_to_mrna(dna_sequence: str) -> str", "DNA to RNA."),
        ("translate_mrna_to_amino_acid", "translate_mrna_to_amino_acid(mrna_sequence: str) -> str", "RNA to acids."),
        ("find_max_nucleotide", "find_max_nucleotide(*args) -> (str, int)", "The highest count: name, count, ..."),
        ("is_valid_dna_sequence", "is_valid_dna_sequence(dna_sequence: str) -> bool", "Whether it is DNA."),
        ("reverse_transcribe_mrna_to_dna", "reverse_transcribe_mrna_to_dna(mrna_sequence: str) -> str", "RNA to DNA."),
    ],
    "trade_calculator": [
        ("convert_currency", "convert_currency(base_price: float, conversion_rate: float) -> float", "Converts."),
        ("calculate_tariff", "calculate_tariff(price: float, tariff_rate: float) -> float", "A tariff in per cent."),
        ("estimate_final_value", "estimate_final_value(price: float, tariff: float) -> float", "Both together."),
        ("calculator", "calculator(expression: str) -> float", "Evaluates an expression."),
        ("find_minimum", "find_minimum(*args: float) -> float", "The least."),
        ("find_maximum", "find_maximum(*args: float) -> float", "The greatest."),
    ],
    "travel_itinerary_planning": [
        ("find_flights", "find_flights(destination: str, date: str) -> List[Dict]", "Flights of a day.\nA list."),
        ("book_hotel", "book_hotel(location: str, *preferences: str) -> List[Dict]", "Hotels."),
        ("budget_calculator", "budget_calculator(flight_price: float, hotel_price_per_night: float, num_nights: int)",
         "What a trip costs."),
        ("max", "max(*args: float) -> float", "The greatest."),
        ("min", "min(*args: float) -> float", "The least."),
        ("sum", "sum(*args: float) -> float", "All together."),
    ],
    "web_browsing": [
        ("click_url", "click_url(url: str) -> str", "Opens a page."),
        ("go_to_previous_page", "go_to_previous_page() -> str", "Goes back."),
        ("scroll_down", "scroll_down() -> str", "Further down."),
        ("scroll_up", "scroll_up() -> str", "Further up."),
        ("view", "view() -> str", "What is shown."),
        ("calculator", "calculator(expression: str) -> float", "Evaluates an expression."),
    ],
}  # fmt: skip
TRAVEL = {
    "locations": ['"Hill"', '"Lake"'],
    "flights": [
        {"from_location": '"Hill"', "to_location": '"Lake"', "date": "2031-05-01", "price": 55},
        {"from_location": '"Hill"', "to_location": '"Lake"', "date": "2031-05-01", "price": 40},
        {"from_location": '"Lake"', "to_location": '"Hill"', "date": "2031-05-03", "price": 70},
    ],
    "hotels": [
        {"location": '"Lake"', "preferences": ["boat", "sauna"], "price_per_night": 80, "rating": 4},
        {"location": '"Lake"', "preferences": ["boat"], "price_per_night": 60, "rating": 2},
    ],
}
PAGES = {
    "/": "Lamps and more\n" + "\n".join(f"line {n}" for n in range(2, 7)) + "\n- Lamp [Clickable '/lamp']",
    "/lamp": "A lamp\nPrice: $9.996",
    "/five": "1\n2\n3\n4\n5\n",
}


def write(folder: Path) -> Path:
    """All files below `folder/m3tooleval`; gives `folder`."""
    home = folder / "m3tooleval"
    home.mkdir(parents=True)
    tasks = [{"id": id, "family": id.partition("/")[0], "instruction": said, "expected_output": expected,
              "expected_type": kind, "is_single_tool_task": False} for id, said, expected, kind in TASKS]
    pages = [{"name": name, "content": content} for name, content in PAGES.items()]
    told = {family: [dict(zip(("name", "signature", "description"), entry, strict=True)) for entry in entries]
            for family, entries in TOOLS.items()}
    (home / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    (home / "tools.json").write_text(json.dumps(told))
    (home / "travel.json").write_text(json.dumps(TRAVEL))
    (home / "web_pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    return folder
